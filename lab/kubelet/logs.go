package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/virtual-kubelet/virtual-kubelet/errdefs"
	"github.com/virtual-kubelet/virtual-kubelet/node/api"
)

// logs is what a container's last run printed, or the one before it, and goes on while it is wanted.
func (all *pods) logs(ctx context.Context, namespace, name, container string, wanted api.ContainerLogOpts) (io.ReadCloser, error) {
	pod := all.find(namespace, name)
	if pod == nil {
		return nil, errdefs.NotFoundf("no pod %s/%s", namespace, name)
	}
	number := pod.attempts(container) - 1
	if wanted.Previous {
		number--
	}
	if number < 0 {
		return nil, errdefs.NotFoundf("no such run of the container %s", container)
	}
	output, input := io.Pipe()
	go func() { input.CloseWithError(pod.attempt(container, number).follow(ctx, input, wanted)) }()
	if wanted.LimitBytes > 0 {
		return limited{io.LimitReader(output, int64(wanted.LimitBytes)), output}, nil
	}
	return output, nil
}

type limited struct {
	io.Reader
	io.Closer
}

// follow writes the log's lines until they end: where it is followed, with the run.
func (a attempt) follow(ctx context.Context, to io.Writer, wanted api.ContainerLogOpts) error {
	file := &reader{path: filepath.Join(a.folder, logFile)}
	defer file.close()
	for first := true; ; first = false {
		over := a.ended() != nil || !wanted.Follow
		lines := since(file.lines(over), wanted)
		if first && wanted.Tail > 0 && len(lines) > wanted.Tail {
			lines = lines[len(lines)-wanted.Tail:]
		}
		for _, line := range lines {
			if !wanted.Timestamps {
				line = line[bytes.IndexByte(line, ' ')+1:]
			}
			if _, err := to.Write(line); err != nil {
				return err
			}
		}
		if over {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(glance):
		}
	}
}

func since(lines [][]byte, wanted api.ContainerLogOpts) [][]byte {
	from := wanted.SinceTime
	if wanted.SinceSeconds > 0 {
		from = time.Now().Add(-time.Duration(wanted.SinceSeconds) * time.Second)
	}
	if from.IsZero() {
		return lines
	}
	var later [][]byte
	for _, line := range lines {
		said, err := time.Parse(stamp, string(line[:bytes.IndexByte(line, ' ')]))
		if err == nil && !said.Before(from) {
			later = append(later, line)
		}
	}
	return later
}

// reader gives lines as they come.
type reader struct {
	path string
	file *os.File
}

// lines are those written since it was asked before. One without its end is given once nothing more
// comes.
func (r *reader) lines(over bool) [][]byte {
	if r.file == nil {
		file, err := os.Open(r.path)
		if err != nil {
			return nil
		}
		r.file = file
	}
	text, _ := io.ReadAll(r.file)
	var lines [][]byte
	for _, line := range bytes.SplitAfter(text, []byte("\n")) {
		if !over && !bytes.HasSuffix(line, []byte("\n")) {
			r.file.Seek(-int64(len(line)), io.SeekCurrent)
		} else if len(line) > 0 {
			lines = append(lines, line)
		}
	}
	return lines
}

func (r *reader) close() {
	if r.file != nil {
		r.file.Close()
	}
}
