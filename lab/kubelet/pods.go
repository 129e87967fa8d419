package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/virtual-kubelet/virtual-kubelet/errdefs"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// pods are those of this node, by namespace and name.
type pods struct {
	ctx     context.Context
	client  kubernetes.Interface
	host    string
	options options
	notify  func(*corev1.Pod)

	mutex sync.Mutex
	known map[string]*pod
}

// findPods takes up those that an earlier kubelet left.
func findPods(ctx context.Context, client kubernetes.Interface, host string, o options) (*pods, error) {
	all := &pods{ctx: ctx, client: client, host: host, options: o, known: map[string]*pod{}}
	folders, err := os.ReadDir(o.folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, folder := range folders {
		var object corev1.Pod
		path := filepath.Join(o.folder, folder.Name())
		if readJSON(filepath.Join(path, podFile), &object) == nil {
			all.known[key(object.Namespace, object.Name)] = newPod(all, path, &object)
		}
	}
	return all, nil
}

func key(namespace, name string) string {
	return namespace + "/" + name
}

func (all *pods) find(namespace, name string) *pod {
	all.mutex.Lock()
	defer all.mutex.Unlock()
	return all.known[key(namespace, name)]
}

// NotifyPods is called once, before all others.
func (all *pods) NotifyPods(_ context.Context, notify func(*corev1.Pod)) {
	all.notify = notify
	all.mutex.Lock()
	defer all.mutex.Unlock()
	for _, pod := range all.known {
		go pod.live()
	}
}

// CreatePod writes the pod down before anything of it is run.
func (all *pods) CreatePod(_ context.Context, object *corev1.Pod) error {
	folder := filepath.Join(all.options.folder, string(object.UID))
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	now := metav1.Now()
	object.Status.StartTime = &now
	if err := writeJSON(filepath.Join(folder, podFile), object); err != nil {
		return err
	}
	pod := newPod(all, folder, object)
	all.mutex.Lock()
	all.known[key(object.Namespace, object.Name)] = pod
	all.mutex.Unlock()
	go pod.live()
	return nil
}

// UpdatePod keeps what may change: labels and annotations. Another pod of the same name takes the
// place of the one before.
func (all *pods) UpdatePod(ctx context.Context, object *corev1.Pod) error {
	pod := all.find(object.Namespace, object.Name)
	if pod != nil && pod.object.UID == object.UID {
		return pod.update(object)
	}
	if pod != nil {
		pod.stop(0, true)
	}
	return all.CreatePod(ctx, object)
}

// DeletePod lets a pod's commands end. Without a time of its deletion the pod is gone already, and is
// forgotten here too.
func (all *pods) DeletePod(_ context.Context, object *corev1.Pod) error {
	pod := all.find(object.Namespace, object.Name)
	if pod == nil {
		return errdefs.NotFoundf("no pod %s/%s", object.Namespace, object.Name)
	}
	gone := object.DeletionTimestamp == nil
	grace := int64(0)
	if !gone && object.DeletionGracePeriodSeconds != nil {
		grace = *object.DeletionGracePeriodSeconds
	}
	pod.stop(grace, gone)
	return nil
}

func (all *pods) forget(p *pod) {
	all.mutex.Lock()
	defer all.mutex.Unlock()
	place := key(p.object.Namespace, p.object.Name)
	if all.known[place] == p {
		delete(all.known, place)
	}
	os.RemoveAll(p.folder)
}

func (all *pods) GetPod(_ context.Context, namespace, name string) (*corev1.Pod, error) {
	if pod := all.find(namespace, name); pod != nil {
		return pod.describe(), nil
	}
	return nil, errdefs.NotFoundf("no pod %s/%s", namespace, name)
}

func (all *pods) GetPodStatus(ctx context.Context, namespace, name string) (*corev1.PodStatus, error) {
	pod, err := all.GetPod(ctx, namespace, name)
	if err != nil {
		return nil, err
	}
	return &pod.Status, nil
}

func (all *pods) GetPods(context.Context) ([]*corev1.Pod, error) {
	all.mutex.Lock()
	defer all.mutex.Unlock()
	var found []*corev1.Pod
	for _, pod := range all.known {
		found = append(found, pod.describe())
	}
	return found, nil
}
