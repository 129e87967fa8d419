package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The files of a run of a container's command, in the order in which they come to be.
const (
	commandFile = "command.json" // what is to be run
	keeperFile  = "keeper.json"  // who runs it: its being there means that nobody else will
	processFile = "process.json" // the command's process
	logFile     = "log"          // its output, each line after its time
	exitFile    = "exit.json"    // how it ended
)

// The time before each line of a log: of one length, whatever it is.
const stamp = "2006-01-02T15:04:05.000000000Z07:00"

type command struct {
	Command, Env  []string
	Folder, Alive string
}

type exit struct {
	Code            int
	Reason, Message string
	Started, Ended  time.Time
}

// A process and when it started, for numbers come back.
type process struct {
	Pid   int
	Start string
	Since time.Time
}

// One run of a container's command, as a folder.
type attempt struct{ folder string }

func identify(pid int) process {
	return process{pid, startOf(pid), time.Now()}
}

// startOf is the start time of a process in the kernel's ticks, "" where it is gone.
func startOf(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	// The name before them may hold spaces and brackets.
	rest := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(rest) < 20 || rest[0] == "Z" || rest[0] == "X" {
		return ""
	}
	return rest[19]
}

func (p process) lives() bool {
	return p.Start != "" && startOf(p.Pid) == p.Start
}

func (a attempt) has(name string) bool {
	_, err := os.Stat(filepath.Join(a.folder, name))
	return err == nil
}

func (a attempt) read(name string, into any) error {
	return readJSON(filepath.Join(a.folder, name), into)
}

func (a attempt) write(name string, what any) error {
	return writeJSON(filepath.Join(a.folder, name), what)
}

// claim makes this process the keeper, unless there is one.
func (a attempt) claim() bool {
	mine := filepath.Join(a.folder, strconv.Itoa(os.Getpid()))
	if writeJSON(mine, identify(os.Getpid())) != nil {
		return false
	}
	defer os.Remove(mine)
	return os.Link(mine, filepath.Join(a.folder, keeperFile)) == nil
}

// start hands the command to a keeper, unless one has it: two may try, and one wins.
func (a attempt) start(what command) error {
	if a.has(keeperFile) {
		return nil
	}
	if err := a.write(commandFile, what); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	keeper := exec.Command(self, "keep", a.folder)
	keeper.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := keeper.Start(); err != nil {
		return err
	}
	go keeper.Wait()
	return nil
}

// ended tells how the run ended, if it did: also if its keeper is gone and nobody knows.
func (a attempt) ended() *exit {
	var keeper process
	known := a.read(keeperFile, &keeper) == nil
	lost := known && !keeper.lives()
	var e exit
	if a.read(exitFile, &e) == nil {
		return &e
	}
	if lost {
		return &exit{137, "ContainerStatusUnknown", "its keeper was killed", keeper.Since, time.Now()}
	}
	return nil
}

// running is since when it runs.
func (a attempt) running() *time.Time {
	var p process
	if a.read(processFile, &p) != nil {
		return nil
	}
	return &p.Since
}

// terminate asks the command to end. What it started ends with it (keeper.go).
func (a attempt) terminate() {
	a.signal(1, syscall.SIGTERM)
}

// kill ends the command and all that it started.
func (a attempt) kill() {
	a.signal(-1, syscall.SIGKILL)
}

func (a attempt) signal(whom int, signal syscall.Signal) {
	var p process
	if a.read(processFile, &p) == nil && p.lives() {
		syscall.Kill(whom*p.Pid, signal)
	}
}

func readJSON(path string, into any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

// writeJSON lets nobody see half a file.
func writeJSON(path string, what any) error {
	text, err := json.Marshal(what)
	if err != nil {
		return err
	}
	fresh := fmt.Sprintf("%s.%d", path, os.Getpid())
	return errors.Join(os.WriteFile(fresh, text, 0o600), os.Rename(fresh, path))
}
