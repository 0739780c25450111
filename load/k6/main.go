// k6 with what Onsale's scenarios need beside it: streams of events, a note of every acknowledged act, and figures per
// second that cost k6 next to no processor time. The scenarios import it as "k6/x/onsale"; load/run builds it.
package main

import (
	"go.k6.io/k6/cmd"
	"go.k6.io/k6/js/modules"
	"go.k6.io/k6/output"
)

func main() {
	modules.Register("k6/x/onsale", &rootModule{})
	output.RegisterExtension("onsale", newSeries)
	cmd.Execute()
}
