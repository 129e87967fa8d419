//go:build tools

// Package tools names the program that the lab builds, so that go.mod pins all it needs.
package tools

import _ "k8s.io/kubernetes/cmd/kubectl"
