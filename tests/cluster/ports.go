package main

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports are taken from below the range that Linux gives to outgoing
// connections: a stopped API server must find its port free again.
const (
	firstPort = 18000
	endPort   = 30000
)

// freePorts picks n distinct loopback ports that nobody listens on.
func freePorts(n int) ([]int, error) {
	taken := map[int]bool{}
	ports := make([]int, 0, n)
	for range 1000 {
		if len(ports) == n {
			return ports, nil
		}
		port := firstPort + rand.IntN(endPort-firstPort)
		if taken[port] {
			continue
		}
		taken[port] = true
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		listener.Close()
		ports = append(ports, port)
	}
	return nil, errors.New("no free port on 127.0.0.1 between 18000 and 30000")
}
