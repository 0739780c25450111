package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"sync"
	"time"

	"go.k6.io/k6/metrics"
	"go.k6.io/k6/output"
)

// Written by every virtual user, closed with the series.
var notes = &notebook{}

type notebook struct {
	mutex sync.Mutex
	file  *os.File
	lines *bufio.Writer
}

func (n *notebook) open(path string) (err error) {
	if n.file, err = os.Create(path); err == nil {
		n.lines = bufio.NewWriterSize(n.file, 1<<16)
	}
	return err
}

func (n *notebook) write(line string) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	if n.lines == nil {
		panic("notes need --out onsale=FILE")
	}
	// What cannot be written is seen by close.
	_, _ = n.lines.WriteString(line)
}

func (n *notebook) close() error {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	if err := n.lines.Flush(); err != nil {
		return err
	}
	return n.file.Close()
}

// series is an output: `--out onsale=FILE` writes one JSON object with every metric by its tag `name`, over the whole run and
// per second, and beside it FILE.notes.
type series struct {
	output.SampleBuffer
	path    string
	flusher *output.PeriodicFlusher
	started time.Time
	found   map[key]*metric
}

type key struct{ metric, name string }

type metric struct {
	kind metrics.MetricType
	// Values by second of the run: all of a trend, one sum of what is counted, the last one of a gauge.
	seconds map[int][]float64
}

// Figures of a trend, in its own unit.
type figures struct {
	Count int     `json:"count"`
	Avg   float64 `json:"avg"`
	P50   float64 `json:"p50"`
	P95   float64 `json:"p95"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
}

type written struct {
	Metric string   `json:"metric"`
	Name   string   `json:"name"`
	Total  float64  `json:"total"`
	Trend  *figures `json:"trend,omitempty"`
	// By second of the run.
	Seconds map[int]any `json:"seconds"`
}

func newSeries(params output.Params) (output.Output, error) {
	if params.ConfigArgument == "" {
		return nil, fmt.Errorf("--out onsale=FILE needs a file")
	}
	return &series{path: params.ConfigArgument, found: map[key]*metric{}}, nil
}

// Description implements output.Output.
func (s *series) Description() string { return "onsale (" + s.path + ")" }

// Start implements output.Output.
func (s *series) Start() (err error) {
	if err = notes.open(s.path + ".notes"); err != nil {
		return err
	}
	s.started = time.Now()
	s.flusher, err = output.NewPeriodicFlusher(time.Second, s.flush)
	return err
}

// Stop implements output.Output.
func (s *series) Stop() error {
	s.flusher.Stop()
	if err := notes.close(); err != nil {
		return err
	}
	all := []written{}
	for key, metric := range s.found {
		all = append(all, metric.written(key))
	}
	bytes, err := json.Marshal(map[string]any{"started_ms": s.started.UnixMilli(), "metrics": all})
	if err != nil {
		return err
	}
	return os.WriteFile(s.path, bytes, 0o644)
}

func (s *series) flush() {
	for _, container := range s.GetBufferedSamples() {
		for _, sample := range container.GetSamples() {
			s.add(sample)
		}
	}
}

// add counts a sample under its name, and what is timed under no name, too: all requests together.
func (s *series) add(sample metrics.Sample) {
	name, _ := sample.Tags.Get("name")
	s.addTo(key{sample.Metric.Name, name}, sample)
	if name != "" && sample.Metric.Type == metrics.Trend {
		s.addTo(key{sample.Metric.Name, ""}, sample)
	}
}

func (s *series) addTo(key key, sample metrics.Sample) {
	of, known := s.found[key]
	if !known {
		of = &metric{kind: sample.Metric.Type, seconds: map[int][]float64{}}
		s.found[key] = of
	}
	second := int(math.Floor(sample.Time.Sub(s.started).Seconds()))
	values := of.seconds[second]
	switch {
	case of.kind == metrics.Trend:
		of.seconds[second] = append(values, sample.Value)
	case of.kind == metrics.Gauge || len(values) == 0:
		of.seconds[second] = []float64{sample.Value}
	default:
		values[0] += sample.Value
	}
}

func (m *metric) written(key key) written {
	out := written{Metric: key.metric, Name: key.name, Seconds: map[int]any{}}
	var all []float64
	for second, values := range m.seconds {
		if m.kind == metrics.Trend {
			out.Seconds[second] = figuresOf(values)
			all = append(all, values...)
			continue
		}
		out.Seconds[second] = values[0]
		if m.kind == metrics.Gauge {
			out.Total = max(out.Total, values[0])
		} else {
			out.Total += values[0]
		}
	}
	if m.kind == metrics.Trend {
		of := figuresOf(all)
		out.Trend, out.Total = &of, float64(of.Count)
	}
	return out
}

func figuresOf(values []float64) figures {
	slices.Sort(values)
	sum := 0.0
	for _, value := range values {
		sum += value
	}
	at := func(share float64) float64 { return values[max(0, int(math.Ceil(share*float64(len(values))))-1)] }
	count := len(values)
	return figures{count, sum / float64(count), at(0.5), at(0.95), at(0.99), values[count-1]}
}
