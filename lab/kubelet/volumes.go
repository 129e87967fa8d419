package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// files are those of a volume, by their path in it.
type files map[string][]byte

// makeVolumes writes the files of all volumes, as they are when the pod starts.
func (p *pod) makeVolumes() error {
	for _, volume := range p.object.Spec.Volumes {
		content, err := p.content(volume)
		if err != nil {
			return err
		}
		folder := filepath.Join(p.folder, "volumes", volume.Name)
		if err := content.write(folder); err != nil {
			return err
		}
	}
	return nil
}

func (f files) write(folder string) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	for name, text := range f {
		path := filepath.Join(folder, name)
		err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, text, 0o600))
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *pod) content(volume corev1.Volume) (files, error) {
	switch source := volume.VolumeSource; {
	case source.EmptyDir != nil, source.HostPath != nil:
		return nil, nil
	case source.ConfigMap != nil:
		s := source.ConfigMap
		return p.configMap(s.Name, s.Items, s.Optional)
	case source.Secret != nil:
		s := source.Secret
		return p.secret(s.SecretName, s.Items, s.Optional)
	case source.DownwardAPI != nil:
		return p.downward(source.DownwardAPI.Items), nil
	case source.Projected != nil:
		return p.projected(source.Projected.Sources)
	default:
		return nil, fmt.Errorf("volume %s: its kind is not known here", volume.Name)
	}
}

func (p *pod) projected(sources []corev1.VolumeProjection) (files, error) {
	all := files{}
	for _, source := range sources {
		var content files
		var err error
		switch {
		case source.ConfigMap != nil:
			s := source.ConfigMap
			content, err = p.configMap(s.Name, s.Items, s.Optional)
		case source.Secret != nil:
			s := source.Secret
			content, err = p.secret(s.Name, s.Items, s.Optional)
		case source.DownwardAPI != nil:
			content = p.downward(source.DownwardAPI.Items)
		case source.ServiceAccountToken != nil:
			content, err = p.token(source.ServiceAccountToken)
		}
		if err != nil {
			return nil, err
		}
		for name, text := range content {
			all[name] = text
		}
	}
	return all, nil
}

func (p *pod) configMap(name string, items []corev1.KeyToPath, optional *bool) (files, error) {
	maps := p.all.client.CoreV1().ConfigMaps(p.object.Namespace)
	found, err := maps.Get(p.ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, unless(optional, err)
	}
	all := files(found.BinaryData).with(found.Data)
	return all.chosen(items), nil
}

func (p *pod) secret(name string, items []corev1.KeyToPath, optional *bool) (files, error) {
	secrets := p.all.client.CoreV1().Secrets(p.object.Namespace)
	found, err := secrets.Get(p.ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, unless(optional, err)
	}
	return files(found.Data).chosen(items), nil
}

// unless lets what is optional be missing.
func unless(optional *bool, err error) error {
	if optional != nil && *optional && apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

func (f files) with(texts map[string]string) files {
	all := files{}
	for name, bytes := range f {
		all[name] = bytes
	}
	for name, text := range texts {
		all[name] = []byte(text)
	}
	return all
}

// chosen are the files named, or all if none is.
func (f files) chosen(items []corev1.KeyToPath) files {
	if len(items) == 0 {
		return f
	}
	all := files{}
	for _, item := range items {
		all[item.Path] = f[item.Key]
	}
	return all
}

func (p *pod) downward(items []corev1.DownwardAPIVolumeFile) files {
	fields := map[string]string{
		"metadata.name":      p.object.Name,
		"metadata.namespace": p.object.Namespace,
		"metadata.uid":       string(p.object.UID),
	}
	all := files{}
	for _, item := range items {
		if item.FieldRef != nil {
			all[item.Path] = []byte(fields[item.FieldRef.FieldPath])
		}
	}
	return all
}

func (p *pod) token(wanted *corev1.ServiceAccountTokenProjection) (files, error) {
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		ExpirationSeconds: wanted.ExpirationSeconds,
		BoundObjectRef: &authenticationv1.BoundObjectReference{
			Kind: "Pod", APIVersion: "v1", Name: p.object.Name, UID: p.object.UID,
		},
	}}
	if wanted.Audience != "" {
		request.Spec.Audiences = []string{wanted.Audience}
	}
	accounts := p.all.client.CoreV1().ServiceAccounts(p.object.Namespace)
	given, err := accounts.CreateToken(context.WithoutCancel(p.ctx), p.object.Spec.ServiceAccountName, request, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	return files{wanted.Path: []byte(given.Status.Token)}, nil
}
