package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/grafana/sobek"
	"go.k6.io/k6/metrics"
)

// Requests without k6's own client, which has k6 take twice as much of the processors as the server beside it: a thousand
// requests for nothing, at once, take that 63 ms, and these 29. Its metrics are kept: http_req_duration from the first byte written
// until the last one was read, and http_req_failed.

const (
	answerWithin = 30 * time.Second
	// Servers close what nobody uses; a connection that rested for so long is looked at first.
	restedFor = 3 * time.Second
)

// connection to the server, kept open between requests as a browser's is.
type connection struct {
	conn   net.Conn
	reader *bufio.Reader
	used   time.Time
}

// answer is what scripts get to see of a reply; status 0: none came.
type answer struct {
	status         int
	location, body string
	problem        error
	took           time.Duration
	// The server closes the connection after it.
	last bool
}

// request makes the bytes of one.
func (i *instance) request(method, path, token, key, body string) []byte {
	out := bytes.NewBuffer(make([]byte, 0, 512+len(body)))
	line := func(parts ...string) {
		for _, part := range parts {
			out.WriteString(part)
		}
		out.WriteString("\r\n")
	}
	line(method, " ", path, " HTTP/1.1")
	line("Host: ", i.address)
	line("User-Agent: k6")
	if token != "" {
		line("Authorization: Bearer ", token)
	}
	if key != "" {
		line("Idempotency-Key: ", key)
	}
	if body != "" {
		line("Content-Type: application/json")
	}
	if body != "" || method != http.MethodGet {
		line("Content-Length: ", strconv.Itoa(len(body)))
	}
	line()
	out.WriteString(body)
	return out.Bytes()
}

// open connects unless it is connected.
func (c *connection) open(address string) error {
	if c.conn != nil && time.Since(c.used) > restedFor && c.isClosed() {
		c.close()
	}
	if c.conn != nil {
		return nil
	}
	conn, err := net.DialTimeout("tcp", address, answerWithin)
	if err != nil {
		return err
	}
	c.conn, c.used = conn, time.Now()
	if c.reader == nil {
		c.reader = bufio.NewReader(conn)
	}
	c.reader.Reset(conn)
	return nil
}

// isClosed says whether the server has closed it meanwhile.
func (c *connection) isClosed() bool {
	raw, err := c.conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return true
	}
	closed := true
	err = raw.Read(func(socket uintptr) bool {
		_, _, err := syscall.Recvfrom(int(socket), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		closed = !errors.Is(err, syscall.EAGAIN)
		return true
	})
	return closed || err != nil
}

func (c *connection) close() {
	_ = c.conn.Close()
	c.conn = nil
}

// ask sends a request and reads its answer, timed from `from` on.
func (c *connection) ask(request []byte, read bool, from time.Time) (found answer) {
	found.problem = c.exchange(request, read, &found)
	c.used = time.Now()
	found.took = c.used.Sub(from)
	if found.problem != nil {
		found.status = 0
	}
	if found.problem != nil || found.last {
		c.close()
	}
	return found
}

func (c *connection) exchange(request []byte, read bool, found *answer) error {
	if err := c.conn.SetDeadline(time.Now().Add(answerWithin)); err != nil {
		return err
	}
	if _, err := c.conn.Write(request); err != nil {
		return err
	}
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return err
	}
	found.status, found.location = response.StatusCode, response.Header.Get("Location")
	if read {
		var body strings.Builder
		body.Grow(int(max(0, response.ContentLength)))
		_, err = io.Copy(&body, response.Body)
		found.body = body.String()
	} else {
		_, err = io.Copy(io.Discard, response.Body)
	}
	found.last = response.Close
	return err
}

// ask sends one request on this virtual user's connection; `statuses` are those that it must be answered with.
func (i *instance) ask(name, method, path, token, key, body string, statuses []int, read bool) *sobek.Object {
	if err := i.own.open(i.address); err != nil {
		return i.told(name, answer{problem: err}, statuses)
	}
	request := i.request(method, path, token, key, body)
	return i.told(name, i.own.ask(request, read, time.Now()), statuses)
}

// burst sends a request for each of `tokens` at one instant, each on a connection of its own, which stays open for the next
// burst. All are timed from that instant on.
func (i *instance) burst(name, method, path string, tokens []string, body string, statuses []int) []*sobek.Object {
	requests := make([][]byte, len(tokens))
	answers := make([]answer, len(tokens))
	for at, token := range tokens {
		if at == len(i.many) {
			i.many = append(i.many, &connection{})
		}
		requests[at] = i.request(method, path, token, "", body)
		answers[at].problem = i.many[at].open(i.address)
	}
	var ready, done sync.WaitGroup
	var begun time.Time
	start := make(chan struct{})
	for at := range tokens {
		if answers[at].problem != nil {
			continue
		}
		ready.Add(1)
		done.Add(1)
		go func() {
			defer done.Done()
			ready.Done()
			<-start
			answers[at] = i.many[at].ask(requests[at], true, begun)
		}()
	}
	ready.Wait()
	begun = time.Now()
	close(start)
	done.Wait()
	told := make([]*sobek.Object, len(tokens))
	for at := range answers {
		told[at] = i.told(name, answers[at], statuses)
	}
	return told
}

// told counts an answer and makes it a script's.
func (i *instance) told(name string, found answer, statuses []int) *sobek.Object {
	failed := 1.0
	if slices.Contains(statuses, found.status) {
		failed = 0
	}
	state := i.vu.State()
	tags := state.Tags.GetCurrentValues().Tags.With("name", name)
	now := time.Now()
	sample := func(metric *metrics.Metric, value float64) metrics.Sample {
		return metrics.Sample{TimeSeries: metrics.TimeSeries{Metric: metric, Tags: tags}, Time: now, Value: value}
	}
	state.Samples <- metrics.Samples{
		sample(state.BuiltinMetrics.HTTPReqDuration, float64(found.took)/float64(time.Millisecond)),
		sample(state.BuiltinMetrics.HTTPReqFailed, failed),
	}
	told := i.vu.Runtime().NewObject()
	set := func(field string, value any) {
		if err := told.Set(field, value); err != nil {
			panic(err)
		}
	}
	set("status", found.status)
	set("location", found.location)
	set("body", found.body)
	if found.problem != nil {
		set("error", found.problem.Error())
	}
	return told
}
