package main

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// keep is a process that runs one command, once, and writes down how it ended. It lives apart from the
// kubelet, which may be killed in the meantime. folder holds what is known of this run (attempt.go).
func keep(folder string) {
	// The kernel ends the command when the thread is gone that started it.
	runtime.LockOSThread()
	a := attempt{folder}
	var what command
	if a.read(commandFile, &what) != nil || !a.claim() {
		return
	}
	go endWith(what.Alive, a)
	started := time.Now()
	code, reason, message := a.execute(what)
	a.write(exitFile, exit{code, reason, message, started, time.Now()})
}

// endWith waits until nobody holds the lock any more.
func endWith(alive string, a attempt) {
	file, err := os.Open(alive)
	for err == nil {
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_SH)
		if errors.Is(err, syscall.EINTR) {
			err = nil
			continue
		}
		break
	}
	a.kill()
	os.Exit(1)
}

// execute runs the command to its end, and whatever it started.
func (a attempt) execute(what command) (code int, reason, message string) {
	cmd := exec.Command(what.Command[0], what.Command[1:]...)
	cmd.Env, cmd.Dir = what.Env, what.Folder
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	output, input, err := os.Pipe()
	if err != nil {
		return 128, "StartError", err.Error()
	}
	cmd.Stdout, cmd.Stderr = input, input
	if err := cmd.Start(); err != nil {
		return 128, "StartError", err.Error()
	}
	input.Close()
	a.write(processFile, identify(cmd.Process.Pid))
	logged := make(chan struct{})
	go func() { a.log(output); close(logged) }()
	cmd.Wait()
	// Its children end with it, as a container's do.
	syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	select {
	case <-logged:
	case <-time.After(time.Second):
		// One that left the group holds on to the output.
	}
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	code = status.ExitStatus()
	if status.Signaled() {
		code = 128 + int(status.Signal())
	}
	if code == 0 {
		return code, "Completed", ""
	}
	return code, "Error", ""
}

// log writes each line with its time before it.
func (a attempt) log(output io.Reader) {
	file, err := os.OpenFile(filepath.Join(a.folder, logFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	defer file.Close()
	lines := bufio.NewReader(output)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			file.Write(append([]byte(time.Now().UTC().Format(stamp)+" "), line...))
		}
		if err != nil {
			return
		}
	}
}
