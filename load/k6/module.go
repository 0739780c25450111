package main

import (
	"fmt"
	"strings"
	"time"

	"go.k6.io/k6/js/modules"
	"go.k6.io/k6/metrics"
)

// rootModule makes an instance for each virtual user.
type rootModule struct{}

type instance struct {
	vu modules.VU
	// The server's.
	address string
	own     connection
	// Those of bursts.
	many []*connection
	// From the server's decision to let somebody in until the event was read here, ms.
	push *metrics.Metric
	// People who were told on their stream that it is their turn.
	notified *metrics.Metric
	// Streams that ended otherwise.
	broken *metrics.Metric
}

// NewModuleInstance implements modules.Module.
func (*rootModule) NewModuleInstance(vu modules.VU) modules.Instance {
	registry := vu.InitEnv().Registry
	return &instance{
		vu:       vu,
		push:     registry.MustNewMetric("push_duration", metrics.Trend, metrics.Time),
		notified: registry.MustNewMetric("notified", metrics.Counter),
		broken:   registry.MustNewMetric("streams_broken", metrics.Counter),
	}
}

// Exports implements modules.Instance.
func (i *instance) Exports() modules.Exports {
	return modules.Exports{Named: map[string]any{
		"connectTo":    i.connectTo,
		"ask":          i.ask,
		"burst":        i.burst,
		"note":         i.note,
		"watch":        i.watch,
		"closeStreams": i.closeStreams,
		"sleepUntil":   sleepUntil,
	}}
}

// connectTo says where the server is: http://HOST:PORT.
func (i *instance) connectTo(url string) {
	i.address = strings.TrimPrefix(url, "http://")
}

// note writes down an act that the server acknowledged: the books are held against these lines afterwards.
func (*instance) note(act, id string, number int64) {
	notes.write(fmt.Sprintf("%s %s %d\n", act, id, number))
}

// sleepUntil waits for an instant, ms since 1970, which all virtual users share.
func sleepUntil(ms int64) {
	time.Sleep(time.Until(time.UnixMilli(ms)))
}

// count adds a sample to one of the metrics above.
func (i *instance) count(metric *metrics.Metric, value float64) {
	state := i.vu.State()
	sample := metrics.Sample{
		TimeSeries: metrics.TimeSeries{Metric: metric, Tags: state.Tags.GetCurrentValues().Tags},
		Time:       time.Now(),
		Value:      value,
	}
	state.Samples <- sample
}
