package main

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// describe is the pod with its status, read from its folder.
func (p *pod) describe() *corev1.Pod {
	p.mutex.Lock()
	object, why := p.object.DeepCopy(), p.waiting
	p.mutex.Unlock()
	over := false
	select {
	case <-p.ended:
		over = true
	default:
	}
	spec, status := &object.Spec, &object.Status
	status.InitContainerStatuses = p.containers(spec.InitContainers, why, over)
	status.ContainerStatuses = p.containers(spec.Containers, why, over)
	status.Phase = phase(status, over)
	status.HostIP, status.PodIP = "127.0.0.1", "127.0.0.1"
	status.PodIPs = []corev1.PodIP{{IP: "127.0.0.1"}}
	setConditions(status)
	// For the times of its conditions.
	p.mutex.Lock()
	p.object.Status = *status.DeepCopy()
	p.mutex.Unlock()
	return object
}

func (p *pod) containers(containers []corev1.Container, why string, over bool) []corev1.ContainerStatus {
	var all []corev1.ContainerStatus
	for _, container := range containers {
		all = append(all, p.container(container, why, over))
	}
	return all
}

func (p *pod) container(container corev1.Container, why string, over bool) corev1.ContainerStatus {
	runs := p.attempts(container.Name)
	status := corev1.ContainerStatus{
		Name:         container.Name,
		Image:        container.Image,
		ImageID:      container.Image,
		RestartCount: int32(max(runs-1, 0)),
	}
	last := p.attempt(container.Name, max(runs-1, 0))
	how, since := last.ended(), last.running()
	switch {
	case runs > 0 && how != nil && !over && p.ctx.Err() == nil && p.again(how.Code, false):
		status.State.Waiting = &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}
		status.LastTerminationState = p.terminated(container.Name, runs-1)
	case runs > 0 && how != nil:
		status.State = p.terminated(container.Name, runs-1)
	case runs > 0 && since != nil:
		started := true
		status.Ready, status.Started = true, &started
		status.State.Running = &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(*since)}
		status.ContainerID = p.id(container.Name, runs-1)
		status.LastTerminationState = p.terminated(container.Name, runs-2)
	case over:
		status.State.Terminated = &corev1.ContainerStateTerminated{
			ExitCode: 137, Reason: "ContainerStatusUnknown", Message: "it was never started",
		}
	case noImage(container.Image):
		status.State.Waiting = &corev1.ContainerStateWaiting{
			Reason:  "ImagePullBackOff",
			Message: fmt.Sprintf("Back-off pulling image %q", container.Image),
		}
	default:
		status.State.Waiting = &corev1.ContainerStateWaiting{Reason: "ContainerCreating", Message: why}
	}
	return status
}

func (p *pod) terminated(container string, number int) corev1.ContainerState {
	if number < 0 {
		return corev1.ContainerState{}
	}
	how := p.attempt(container, number).ended()
	if how == nil {
		return corev1.ContainerState{}
	}
	return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode:    int32(how.Code),
		Reason:      how.Reason,
		Message:     how.Message,
		StartedAt:   metav1.NewTime(how.Started),
		FinishedAt:  metav1.NewTime(how.Ended),
		ContainerID: p.id(container, number),
	}}
}

func (p *pod) id(container string, number int) string {
	return fmt.Sprintf("lab://%s/%s/%d", p.object.UID, container, number)
}

func phase(status *corev1.PodStatus, over bool) corev1.PodPhase {
	begun, failed := false, false
	for _, container := range status.ContainerStatuses {
		begun = begun || container.State.Waiting == nil || container.RestartCount > 0
		failed = failed || container.State.Terminated != nil && container.State.Terminated.ExitCode != 0
	}
	switch {
	case over && failed:
		return corev1.PodFailed
	case over:
		return corev1.PodSucceeded
	case begun:
		return corev1.PodRunning
	default:
		return corev1.PodPending
	}
}

func setConditions(status *corev1.PodStatus) {
	ready := true
	for _, container := range status.ContainerStatuses {
		ready = ready && container.Ready
	}
	setCondition(status, corev1.PodInitialized, status.Phase != corev1.PodPending)
	setCondition(status, corev1.ContainersReady, ready)
	setCondition(status, corev1.PodReady, ready)
}

// setCondition moves the time of its transition only with the condition.
func setCondition(status *corev1.PodStatus, kind corev1.PodConditionType, is bool) {
	wanted := corev1.ConditionFalse
	if is {
		wanted = corev1.ConditionTrue
	}
	for i := range status.Conditions {
		condition := &status.Conditions[i]
		if condition.Type == kind {
			if condition.Status != wanted {
				condition.Status, condition.LastTransitionTime = wanted, metav1.Now()
			}
			return
		}
	}
	status.Conditions = append(status.Conditions, corev1.PodCondition{
		Type: kind, Status: wanted, LastTransitionTime: metav1.Now(),
	})
}
