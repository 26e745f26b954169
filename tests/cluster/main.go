// Command control-plane is a whole Kubernetes control plane in one file: etcd,
// kube-apiserver, kube-controller-manager, kube-scheduler and kubectl as they
// are released, and a supervisor that runs them for greffier's tests and demo.
//
// It acts as the program that its own name, or else its first argument, says:
// one binary links the code that they share once, which saves more than half
// of the build time and of the disk.
package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	if entry, ok := components[filepath.Base(os.Args[0])]; ok {
		entry()
		return
	}
	if len(os.Args) < 2 {
		usage()
	}
	if os.Args[1] == "up" {
		if err := up(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "control-plane:", err)
			os.Exit(1)
		}
		return
	}
	entry, ok := components[os.Args[1]]
	if !ok {
		usage()
	}
	os.Args = os.Args[1:]
	entry()
}

func usage() {
	names := slices.Sorted(maps.Keys(components))
	fmt.Fprintf(os.Stderr, "usage: control-plane up --dir DIR [flags]\n       control-plane %s [arguments]\n",
		strings.Join(names, "|"))
	os.Exit(2)
}
