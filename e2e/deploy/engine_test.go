package deploy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/postroad/postroad/e2e/kit"
)

// docker is an engine and what runs commands against it.
type docker struct {
	t       testing.TB
	env     []string // says where the engine is
	compose []string // the command, in either of its two spellings
}

// needDocker returns the engine that runs here, or one that it starts for the test. Without
// POSTROAD_DOCKER the test is skipped: it takes minutes, and an engine of one's own takes root.
func needDocker(t testing.TB) *docker {
	t.Helper()
	if os.Getenv("POSTROAD_DOCKER") == "" {
		t.Skip("skipped: POSTROAD_DOCKER=1 tries the image with Docker (apt-get install " +
			"docker.io iptables docker-compose); " +
			"as root it starts an engine of its own when none runs")
	}
	kit.Alone(t, "docker") // images, networks and ports have fixed names
	d := &docker{t: t}
	if _, err := d.try("info"); err != nil {
		d.startEngine()
	}
	for _, c := range [][]string{{"docker", "compose"}, {"docker-compose"}} {
		if exec.Command(c[0], append(c[1:], "version")...).Run() == nil {
			d.compose = c
			break
		}
	}
	if d.compose == nil {
		t.Fatal("there is neither `docker compose` nor docker-compose (apt-get install " +
			"docker-compose)")
	}
	return d
}

// startEngine starts dockerd with folders and a socket of its own. Without a bridge and without
// rules for iptables it leaves nothing behind on the machine; containers reach the host and each
// other by the networks that Compose makes, and nothing else. Docker's DNS among the containers
// needs the iptables program all the same.
func (d *docker) startEngine() {
	d.t.Helper()
	for _, program := range []string{"dockerd", "iptables"} {
		if _, err := exec.LookPath(program); err != nil {
			d.t.Fatalf(
				"no Docker engine answers, and %s is not installed (apt-get install docker.io "+
					"iptables)", program)
		}
	}
	data, err := os.MkdirTemp(kit.Scratch(d.t), "docker-")
	if err != nil {
		d.t.Fatal(err)
	}
	run, err := os.MkdirTemp("", "prd") // short: the names of sockets are
	if err != nil {
		d.t.Fatal(err)
	}
	socket := "unix://" + filepath.Join(run, "docker.sock")
	var log bytes.Buffer
	cmd := exec.Command("dockerd", "--bridge=none", "--iptables=false", "--ip-forward=false",
		"--data-root", data,
		"--exec-root", filepath.Join(run, "exec"), "--pidfile", filepath.Join(run, "pid"), "--host",
		socket)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { cmd.Wait(); close(done) }()
	d.t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM) // it ends containerd, too
		<-done
		if err := errors.Join(os.RemoveAll(run), os.RemoveAll(data)); err != nil {
			d.t.Error(err)
		}
	})
	d.env = []string{"DOCKER_HOST=" + socket}
	kit.Eventually(d.t, time.Minute, func() bool {
		select {
		case <-done:
			d.t.Fatalf("dockerd ended:\n%s", log.String())
		default:
		}
		_, err = d.try("info")
		return err == nil
	}, func() string { return fmt.Sprintf("dockerd does not answer: %v", err) })
}

// try runs a docker command and returns what it says.
func (d *docker) try(args ...string) (string, error) { return d.command("", "docker", args...) }

// run is try for commands that must succeed.
func (d *docker) run(args ...string) string {
	d.t.Helper()
	out, err := d.try(args...)
	if err != nil {
		d.t.Fatal(err)
	}
	return out
}

// composed runs a Compose command in dir.
func (d *docker) composed(dir string, args ...string) string {
	d.t.Helper()
	out, err := d.command(dir, d.compose[0], append(d.compose[1:len(d.compose):len(d.compose)],
		args...)...)
	if err != nil {
		d.t.Fatal(err)
	}
	return out
}

func (d *docker) command(dir, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), d.env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err,
			errs.String())
	}
	return strings.TrimSpace(out.String()), nil
}

// gateway is the host's address in a network.
func (d *docker) gateway(network string) string {
	d.t.Helper()
	return d.run("network", "inspect", network, "--format",
		"{{range .IPAM.Config}}{{.Gateway}}{{end}}")
}

// ready waits until the node whose administration is at addr takes mail.
func (d *docker) ready(addr, container string) {
	d.t.Helper()
	var last string
	kit.Eventually(d.t, 90*time.Second, func() bool {
		resp, err := http.Get("http://" + addr + "/readyz")
		if err != nil {
			last = err.Error()
			return false
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		last = string(body)
		return resp.StatusCode == http.StatusOK
	}, func() string {
		log, _ := d.command("", "sh", "-c", "docker logs --tail 40 "+container+" 2>&1")
		return fmt.Sprintf("%s is not ready: %s\n%s", container, last, log)
	})
}
