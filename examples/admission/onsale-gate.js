// A page behind a queue, for sites without a server of their own: one line in its <head>, before everything else,
//
//   <script src="onsale-gate.js" data-server="https://queue.example.com" data-queue="…"></script>
//
// This keeps honest people in line, and nobody else: what a browser hides, it has already been given. Whoever switches scripts
// off, or asks for the page with another program, sees all of it. What must be protected is put behind a proxy that asks the
// gate (docs/guides/gate.md). Onsale has to allow the page's origin (cors.origins).
//   data-page      where people wait; the queue's own page, unless given
//   data-on-error  who sees the page while Onsale cannot be reached: closed (nobody, the default) or open (everybody)
(async () => {
  const { server, queue, page = `${server}/q/${queue}`, onError = "closed" } = document.currentScript.dataset;
  const parameter = "onsale_admission";
  const root = document.documentElement;
  const address = new URL(location.href);
  const given = address.searchParams.get(parameter);
  const place = `onsale-admission-${queue}`;

  root.hidden = true;
  if (given) {
    // Out of the address, the history and what other sites are told; it is of use in this tab alone. What browsers ask ahead for,
    // before this runs, names the address with it to the page's own server; to others its origin alone, as is usual.
    sessionStorage.setItem(place, given);
    address.searchParams.delete(parameter);
    history.replaceState(history.state, "", address);
  }
  const admission = sessionStorage.getItem(place);
  try {
    const headers = admission ? { "Onsale-Admission": admission } : {};
    const answer = await fetch(`${server}/v1/queues/${queue}/gate`, { headers, cache: "no-store", credentials: "omit" });
    if (answer.status === 401) {
      sessionStorage.removeItem(place);
      location.replace(page);
    } else {
      root.hidden = !answer.ok && onError !== "open";
    }
  } catch {
    root.hidden = onError !== "open";
  }
})();
