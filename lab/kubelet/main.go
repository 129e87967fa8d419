// Command kubelet stands in for a node's kubelet where there are no containers: a container's command
// is run as a process of this machine.
//
//	kubelet --kubeconfig FILE --folder FOLDER --alive FILE --port N
//
// Killed and started again it finds its pods in its folder, and runs no command a second time: each is
// in the care of a process of its own (keeper.go), which survives it. They all end when whoever
// locked the file `alive` lets go of it, be it by its death.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// The name of the node, and of the value of its label.
const nodeName = "kubelet"

type options struct {
	kubeconfig, folder, alive string
	port                      int
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == "keep" {
		keep(os.Args[2])
		return
	}
	var o options
	flag.StringVar(&o.kubeconfig, "kubeconfig", "", "how to talk to the API server")
	flag.StringVar(&o.folder, "folder", "", "where the pods' files lie")
	flag.StringVar(&o.alive, "alive", "", "the file that is locked for as long as commands may run")
	flag.IntVar(&o.port, "port", 0, "where the API server asks for logs")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}
