package balancer

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Health of a target as Hetzner names it.
const (
	Unknown   = "unknown"
	Healthy   = "healthy"
	Unhealthy = "unhealthy"
)

// maxAnswer bounds what is read of an answer to find the expected text in it.
const maxAnswer = 64 << 10

// dial connects to the target of a check.
type dial func(ctx context.Context, port int) (net.Conn, error)

// checker follows the health of one target of one service.
type checker struct {
	check HealthCheck
	dial  dial
	// changed is told the new status and what the last check found.
	changed func(status, reason string)

	mu     sync.Mutex
	status string
	// streak is how many checks in a row disagreed with the status.
	streak int
}

// Status is the health as of the last check.
func (c *checker) Status() string {
	c.mu.Lock()
	defer c.mu.Unlock()

	return c.status
}

// run checks until the context ends. scale stretches or shortens the interval.
func (c *checker) run(ctx context.Context, scale float64) {
	interval := time.Duration(float64(c.check.Interval) * scale * float64(time.Second))

	for {
		// The interval is from start to start.
		next := time.After(interval)
		err := c.once(ctx)

		if ctx.Err() != nil {
			return
		}

		c.learn(err)

		select {
		case <-ctx.Done():
			return
		case <-next:
		}
	}
}

// learn counts a result: as many in a row as there are retries change the status in either direction; the very first
// success makes a target healthy.
func (c *checker) learn(err error) {
	found, reason := Healthy, ""
	if err != nil {
		found, reason = Unhealthy, err.Error()
	}

	c.mu.Lock()

	if c.status == found {
		c.streak = 0
		c.mu.Unlock()

		return
	}

	c.streak++
	turned := c.streak >= c.check.Retries || c.status == Unknown && found == Healthy

	if turned {
		c.status, c.streak = found, 0
	}
	c.mu.Unlock()

	if turned {
		c.changed(found, reason)
	}
}

// once makes one check.
func (c *checker) once(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(c.check.Timeout)*time.Second)
	defer cancel()

	if c.check.HTTP == nil {
		conn, err := c.dial(ctx, c.check.Port)
		if err != nil {
			return err
		}

		return conn.Close()
	}

	return c.ask(ctx, *c.check.HTTP)
}

func (c *checker) ask(ctx context.Context, want HTTPCheck) error {
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return c.dial(ctx, c.check.Port) },
		// A health check asks whether somebody serves, not who.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}, //nolint:gosec // see above
	}
	defer transport.CloseIdleConnections()

	scheme, host := "http", want.Domain
	if want.TLS {
		scheme = "https"
	}

	if host == "" {
		host = "target"
	}

	request, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+host+want.Path, nil)
	if err != nil {
		return err
	}

	answer, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close() //nolint:errcheck

	if !expected(want.StatusCodes, answer.StatusCode) {
		return fmt.Errorf("status %d, expected one of %v", answer.StatusCode, want.StatusCodes)
	}

	if want.Response == "" {
		return nil
	}

	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return err
	}

	if !bytes.Contains(body, []byte(want.Response)) {
		return fmt.Errorf("the answer does not contain %q", want.Response)
	}

	return nil
}

// expected tells whether a status is one of the codes; a question mark in a code stands for any digit.
func expected(codes []string, status int) bool {
	text := strconv.Itoa(status)

	for _, code := range codes {
		matches := len(code) == len(text)
		for i := 0; matches && i < len(code); i++ {
			matches = code[i] == '?' || code[i] == text[i]
		}

		if matches {
			return true
		}
	}

	return false
}
