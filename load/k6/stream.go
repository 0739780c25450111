package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"
)

// One connection per stream, as browsers have; never used again.
var client = &http.Client{Transport: &http.Transport{
	DisableKeepAlives: true, DisableCompression: true, ReadBufferSize: 1 << 10, WriteBufferSize: 1 << 10,
}}

// All streams of the run: they outlive the iteration that opened them, so that a virtual user need not wait.
var streams sync.WaitGroup

var ending, endAll = context.WithCancel(context.Background())

// What is read of an entry.
type entry struct {
	State     string `json:"state"`
	Admission *struct {
		ExpiresAt time.Time `json:"expires_at"`
	} `json:"admission"`
}

// watch opens the stream of an entry and reads it in the background until it says that the person is admitted. When that
// was decided follows from when the admission expires, claimTTLMS later, by the clock that both processes share.
func (i *instance) watch(url, token string, claimTTLMS int64) {
	request, err := http.NewRequestWithContext(ending, http.MethodGet, url, nil)
	if err != nil {
		panic(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Accept", "text/event-stream")
	streams.Add(1)
	go func() {
		defer streams.Done()
		told, waited, at := read(request)
		switch {
		case told == nil && ending.Err() == nil:
			i.count(i.broken, 1)
		case told != nil:
			i.count(i.notified, 1)
			// Who was admitted before the stream was open was told at once; that says nothing about pushes.
			if waited {
				decided := told.Admission.ExpiresAt.Add(-time.Duration(claimTTLMS) * time.Millisecond)
				i.count(i.push, float64(at.Sub(decided))/float64(time.Millisecond))
			}
		}
	}()
}

// read returns the entry once it is admitted, whether it was seen waiting before, and when the last event was read. A stream
// that ends before gives nil.
func read(request *http.Request) (told *entry, waited bool, at time.Time) {
	response, err := client.Do(request)
	if err != nil {
		return nil, false, time.Now()
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, false, time.Now()
	}
	lines := bufio.NewReaderSize(response.Body, 2<<10)
	mine := false
	for {
		line, err := lines.ReadBytes('\n')
		at = time.Now()
		if err != nil {
			return nil, waited, at
		}
		if name, is := bytes.CutPrefix(line, []byte("event: ")); is {
			mine = bytes.Equal(bytes.TrimSpace(name), []byte("entry"))
		}
		data, is := bytes.CutPrefix(line, []byte("data: "))
		if !is || !mine {
			continue
		}
		var found entry
		if json.Unmarshal(data, &found) != nil {
			return nil, waited, at
		}
		if found.State == "admitted" && found.Admission != nil {
			return &found, waited, at
		}
		waited = waited || found.State == "waiting"
	}
}

// closeStreams gives those who were let in last quietMS to be told, and then ends the streams of all who still wait.
func (*instance) closeStreams(quietMS int64) {
	time.Sleep(time.Duration(quietMS) * time.Millisecond)
	endAll()
	streams.Wait()
}
