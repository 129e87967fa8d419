package main

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
)

const (
	podFile = "pod.json"
	// How often is looked whether a command has ended.
	glance = 20 * time.Millisecond
	// A keeper that did not come up in this time is started again.
	patience = 5 * time.Second
	// The longest pause before a command that ended is run again.
	longestPause = 10 * time.Second
)

// pod is one in this node's care; what is true of it lies in its folder.
type pod struct {
	all    *pods
	folder string
	// Ends once nothing of it is to be started any more.
	ctx    context.Context
	cancel context.CancelFunc
	// Closed when nothing of it runs any more.
	ended chan struct{}

	mutex   sync.Mutex
	object  *corev1.Pod
	waiting string
	killAt  time.Time
	gone    bool
}

func newPod(all *pods, folder string, object *corev1.Pod) *pod {
	ctx, cancel := context.WithCancel(all.ctx)
	ended := make(chan struct{})
	return &pod{all: all, folder: folder, ctx: ctx, cancel: cancel, ended: ended, object: object}
}

// live runs the pod to its end: its volumes, its first containers one after the other, the rest.
func (p *pod) live() {
	defer p.end()
	p.tell("")
	if !p.prepare() {
		return
	}
	for _, container := range p.object.Spec.InitContainers {
		if p.see(container, true) != 0 {
			return
		}
	}
	var running sync.WaitGroup
	for _, container := range p.object.Spec.Containers {
		running.Go(func() { p.see(container, false) })
	}
	running.Wait()
}

func (p *pod) end() {
	if p.all.ctx.Err() != nil {
		return
	}
	p.mutex.Lock()
	close(p.ended)
	gone := p.gone
	p.mutex.Unlock()
	p.tell("")
	if gone {
		p.all.forget(p)
	}
}

// tell lets the API server know how the pod is; why says what it waits for.
func (p *pod) tell(why string) {
	p.mutex.Lock()
	p.waiting = why
	p.mutex.Unlock()
	p.all.notify(p.describe())
}

// prepare makes its volumes, which may name what does not exist yet.
func (p *pod) prepare() bool {
	for p.ctx.Err() == nil {
		err := p.makeVolumes()
		if err == nil {
			return true
		}
		p.tell(err.Error())
		p.pause(10 * glance)
	}
	return false
}

// see runs a container until it is not to be run again, and returns its exit code.
func (p *pod) see(container corev1.Container, first bool) int {
	if noImage(container.Image) {
		<-p.ctx.Done()
		return 1
	}
	for number := max(p.attempts(container.Name)-1, 0); ; number++ {
		run := p.attempt(container.Name, number)
		how := run.ended()
		if how == nil {
			if p.ctx.Err() != nil && !run.has(keeperFile) {
				return 1
			}
			if how = p.finish(run, container); how == nil {
				return 1
			}
			p.tell("")
		}
		if p.ctx.Err() != nil || !p.again(how.Code, first) {
			return how.Code
		}
		p.pause(min(time.Second<<min(number, 10), longestPause))
		if p.ctx.Err() != nil {
			return how.Code
		}
	}
}

// again is whether a container that ended so is to be run again.
func (p *pod) again(code int, first bool) bool {
	switch p.object.Spec.RestartPolicy {
	case corev1.RestartPolicyNever:
		return false
	case corev1.RestartPolicyAlways:
		return !first || code != 0
	default:
		return code != 0
	}
}

// finish starts a run, unless it was started, and waits for its end: nil if the kubelet ends before.
func (p *pod) finish(run attempt, container corev1.Container) *exit {
	var started time.Time
	told, terminated := false, false
	for p.all.ctx.Err() == nil {
		if how := run.ended(); how != nil {
			return how
		}
		if !run.has(keeperFile) && time.Since(started) > patience {
			started = time.Now()
			if err := p.start(run, container); err != nil {
				return &exit{128, "StartError", err.Error(), started, started}
			}
		}
		if !told && run.running() != nil {
			told = true
			p.tell("")
		}
		if p.ctx.Err() != nil && run.running() != nil {
			if !terminated {
				terminated = true
				run.terminate()
			}
			if time.Now().After(p.deadline()) {
				run.kill()
			}
		}
		time.Sleep(glance)
	}
	return nil
}

func (p *pod) start(run attempt, container corev1.Container) error {
	if err := os.MkdirAll(run.folder, 0o700); err != nil {
		return err
	}
	what, err := p.command(container)
	if err != nil {
		return run.write(exitFile, exit{128, "StartError", err.Error(), time.Now(), time.Now()})
	}
	return run.start(what)
}

func (p *pod) pause(length time.Duration) {
	select {
	case <-p.ctx.Done():
	case <-time.After(length):
	}
}

// stop lets the pod's commands end within so many seconds; gone says that it is forgotten then.
func (p *pod) stop(grace int64, gone bool) {
	p.mutex.Lock()
	killAt := time.Now().Add(time.Duration(grace) * time.Second)
	if p.killAt.IsZero() || killAt.Before(p.killAt) {
		p.killAt = killAt
	}
	p.gone = p.gone || gone
	p.mutex.Unlock()
	p.cancel()
	select {
	case <-p.ended:
		if gone {
			p.all.forget(p)
		}
	default:
	}
}

func (p *pod) deadline() time.Time {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.killAt
}

func (p *pod) update(object *corev1.Pod) error {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	changed := p.object.DeepCopy()
	changed.ObjectMeta = *object.ObjectMeta.DeepCopy()
	p.object = changed
	return writeJSON(filepath.Join(p.folder, podFile), changed)
}

func (p *pod) attempt(container string, number int) attempt {
	return attempt{filepath.Join(p.folder, "containers", container, strconv.Itoa(number))}
}

// attempts is how often a container was run.
func (p *pod) attempts(container string) int {
	runs, _ := os.ReadDir(filepath.Join(p.folder, "containers", container))
	return len(runs)
}

// noImage is whether there is no image of this name: by agreement, if its tag ends in `bad`.
func noImage(image string) bool {
	return strings.HasSuffix(image, "bad")
}
