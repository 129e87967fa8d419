package main

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

var reference = regexp.MustCompile(`\$\$|\$\([A-Za-z_][A-Za-z0-9_.-]*\)`)

// command is what a container is told to run, as it is run here: without an image it must name its
// program, and where it names the path of a mount, it gets the folder that is mounted there.
func (p *pod) command(container corev1.Container) (command, error) {
	words := append(append([]string{}, container.Command...), container.Args...)
	if len(container.Command) == 0 {
		return command{}, errors.New("images have no programs here: give the container a command")
	}
	mounts := p.mounts(container)
	env := map[string]string{}
	for _, variable := range container.Env {
		env[variable.Name] = mounts.Replace(variable.Value)
	}
	for i, word := range words {
		words[i] = mounts.Replace(expand(word, env))
	}
	folder, err := p.workingFolder(container, mounts)
	if err != nil {
		return command{}, err
	}
	alive, err := filepath.Abs(p.all.options.alive)
	return command{words, p.environment(env), folder, alive}, err
}

// expand puts in variables: $(NAME), with $$ for a dollar.
func expand(word string, env map[string]string) string {
	return reference.ReplaceAllStringFunc(word, func(found string) string {
		if found == "$$" {
			return "$"
		}
		if value, ok := env[found[2:len(found)-1]]; ok {
			return value
		}
		return found
	})
}

// environment is the container's, with a way to programs, and to the API server as it is reached from
// here.
func (p *pod) environment(env map[string]string) []string {
	all := map[string]string{"PATH": os.Getenv("PATH"), "HOME": p.folder, "HOSTNAME": p.object.Name}
	for name, value := range env {
		all[name] = value
	}
	if host, err := url.Parse(p.all.host); err == nil {
		all["KUBERNETES_SERVICE_HOST"], all["KUBERNETES_SERVICE_PORT"] = host.Hostname(), host.Port()
	}
	var list []string
	for name, value := range all {
		list = append(list, name+"="+value)
	}
	sort.Strings(list)
	return list
}

// workingFolder lies in the pod's own folder, unless it is a mount's.
func (p *pod) workingFolder(container corev1.Container, mounts *strings.Replacer) (string, error) {
	folder := mounts.Replace(container.WorkingDir)
	if folder == container.WorkingDir {
		folder = filepath.Join(p.folder, "root", container.Name, container.WorkingDir)
	}
	return folder, os.MkdirAll(folder, 0o700)
}

// mounts turns the paths of a container's mounts into the folders of the volumes.
func (p *pod) mounts(container corev1.Container) *strings.Replacer {
	all := append([]corev1.VolumeMount{}, container.VolumeMounts...)
	// The replacer takes the first that fits.
	sort.Slice(all, func(i, j int) bool { return len(all[i].MountPath) > len(all[j].MountPath) })
	var pairs []string
	for _, mount := range all {
		path := strings.TrimRight(mount.MountPath, "/")
		if path != "" {
			pairs = append(pairs, path, filepath.Join(p.volume(mount.Name), mount.SubPath))
		}
	}
	return strings.NewReplacer(pairs...)
}

func (p *pod) volume(name string) string {
	for _, volume := range p.object.Spec.Volumes {
		if volume.Name == name && volume.HostPath != nil {
			return volume.HostPath.Path
		}
	}
	return filepath.Join(p.folder, "volumes", name)
}
