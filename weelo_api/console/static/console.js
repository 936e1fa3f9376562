"use strict";
// Keys, times in the reader's zone, the live socket, and the slider. Forms and links work without this file.
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const signedIn = "signedIn" in document.body.dataset;

  // --- times ------------------------------------------------------------------------------------------
  const clock = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  const day = new Intl.DateTimeFormat([], { day: "2-digit", month: "short" });
  const zone = new Intl.DateTimeFormat([], { timeZoneName: "longOffset" }).formatToParts().find(each => each.type === "timeZoneName")?.value ?? "";
  // A time without a date is of today.
  function showZone() {
    for (const each of all("[data-zone]")) each.textContent = `${each.matches("footer") ? "Times without a date are of today, " : ""}${day.format(new Date())}, ${zone}`;
  }
  function localTimes(within) {
    for (const each of all("time:not([title])", within)) {
      const at = new Date(each.dateTime);
      if (Number.isNaN(at.getTime())) continue;
      each.title = `${each.dateTime.replace("T", " ").replace("Z", "")} UTC`;
      const today = at.toDateString() === new Date().toDateString();
      each.textContent = today ? clock.format(at) : `${day.format(at)} ${clock.format(at)}`;
    }
  }

  // --- keys -------------------------------------------------------------------------------------------
  const pages = { m: "/console", b: "/console/broadcasts", f: "/console/fleets", q: "/console/queues", s: "/console/stuck", p: "/console/policies", a: "/console/audit" };
  let goTo = 0;
  // Keys in a field: Escape leaves the field, and Enter sends the form if the field has `data-submit`.
  function typed(event) {
    if (event.key === "Escape") { const lever = event.target.closest("details.lever"); if (lever) leave(lever); else event.target.blur(); }
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing && event.target.matches("textarea[data-submit]")) {
      event.preventDefault();
      event.target.form.requestSubmit();
    }
  }
  function leave(lever) { lever.open = false; lever.querySelector("summary").focus(); }
  // Opening a lever focuses its first field. `toggle` does not bubble, so it is captured.
  document.addEventListener("toggle", event => {
    if (event.target.matches?.("details.lever[open]")) event.target.querySelector("select, textarea")?.focus();
  }, true);
  function toLevers() {
    const first = document.querySelector("#levers summary") ?? document.querySelector("details.lever summary") ?? document.getElementById("levers");
    first?.focus();
    first?.scrollIntoView({ block: "center" });
  }
  const rows = () => all("[data-rows] a.row").filter(each => each.offsetParent);
  function step(by) {
    const links = rows(), now = links.indexOf(document.activeElement);
    const next = links[now < 0 ? (by > 0 ? 0 : links.length - 1) : Math.min(links.length - 1, Math.max(0, now + by))];
    next?.focus();
    next?.scrollIntoView({ block: "nearest" });
  }
  document.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest?.("input, textarea, select")) { typed(event); return; }
    if (document.querySelector("dialog[open]")) return;
    if (event.key === "Escape" && event.target.closest?.("details.lever[open]")) { leave(event.target.closest("details.lever")); return; }
    if (goTo > Date.now() - 1500 && pages[event.key] && signedIn) { location.assign(pages[event.key]); return; }
    goTo = event.key === "g" ? Date.now() : 0;
    const act = { "/": () => document.querySelector("[data-search]")?.focus(), j: () => step(1), k: () => step(-1), l: toLevers, "?": () => document.getElementById("keys").showModal() }[event.key];
    if (act) { event.preventDefault(); act(); if (event.key === "/" && !document.querySelector("[data-search]")) location.assign("/console/broadcasts"); }
  });

  // --- the slider -------------------------------------------------------------------------------------
  document.addEventListener("click", event => {
    const button = event.target.closest?.("[data-step]");
    const slider = document.getElementById("at");
    if (!button || !slider) return;
    const ticks = all("#changes option").map(each => Number(each.value)), now = Number(slider.value);
    const by = Number(button.dataset.step);
    const next = by > 0 ? ticks.find(each => each > now) : ticks.findLast(each => each < now);
    slider.value = next ?? (by > 0 ? slider.max : 0);
    slider.dispatchEvent(new Event("input", { bubbles: true }));
  });
  // While the slider is at its end, it follows the present.
  document.addEventListener("input", event => { if (event.target.id === "at") event.target.toggleAttribute("data-follow", event.target.value === event.target.max); });
  function follow() {
    const slider = document.getElementById("at"), then = document.getElementById("moment");
    if (!slider || !then) return;
    const last = Number(then.dataset.last);
    if (last > Number(slider.max)) slider.max = last;
    if (slider.hasAttribute("data-follow")) slider.value = slider.max;
  }

  // --- the live socket --------------------------------------------------------------------------------
  const frame = detail => document.body.dispatchEvent(new CustomEvent("weelo-frame", { detail }));
  const emit = name => document.body.dispatchEvent(new CustomEvent(name));
  // Return a function that calls `act` at most once in this many milliseconds, and always after its last call.
  function atMostEvery(milliseconds, act) {
    let timer = 0, last = 0;
    return () => { timer ||= setTimeout(() => { timer = 0; last = Date.now(); act(); }, Math.max(0, last + milliseconds - Date.now())); };
  }
  const listChanged = atMostEvery(1000, () => emit("weelo-changed"));
  const thisChanged = atMostEvery(400, () => { if (isAtEnd()) emit("weelo-this-changed"); });
  let liveState = ["connecting", "connecting"];
  function show(state, text) {
    const at = document.getElementById("live");
    liveState = [state, text];
    // Without Redis the socket is open, but receives no changes.
    if (state === "live" && document.getElementById("health")?.dataset.redis === "away") [state, text] = ["away", "not live"];
    if (at && at.dataset.state !== state) { at.dataset.state = state; at.lastElementChild.textContent = text; }
  }
  let failures = 0;
  function connect() {
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/console/live`);
    socket.addEventListener("message", event => {
      const data = JSON.parse(event.data);
      if (data.event === "connected") {
        show("live", "live");
        // Changes while there was no socket were not received, so load everything.
        if (failures) { listChanged(); thisChanged(); }
        failures = 0;
      }
      frame(data);
      const own = document.getElementById("broadcast")?.dataset.broadcast;
      if (data.event === "changed" || data.event === "reload") {
        listChanged();
        if (own && (data.event === "reload" || data.broadcasts.includes(own))) thisChanged();
      }
    });
    socket.addEventListener("close", event => {
      show("away", "reconnecting");
      if (event.code === 4401) { location.assign("/console/sign-in"); return; }
      failures += 1;
      setTimeout(connect, Math.min(10_000, 500 * 2 ** failures) * (0.75 + Math.random() / 2));
    });
  }
  // A page that shows a past moment is not moved to the present.
  const isAtEnd = () => { const slider = document.getElementById("at"); return !slider || slider.hasAttribute("data-follow"); };

  // --- start ------------------------------------------------------------------------------------------
  function began() {
    localTimes(document);
    showZone();
    if (signedIn) {
      connect();
      // Frames may be lost, so load everything from time to time.
      setInterval(() => { if (!document.hidden) { listChanged(); thisChanged(); } }, 15_000);
    }
    for (const each of all("[data-map]")) window.weeloMaps[each.dataset.map]?.(each);
    document.body.addEventListener("htmx:afterSettle", event => { localTimes(document); follow(); show(...liveState); });
    // An open form may contain typed text, so it is not replaced as long as the new page has it, too.
    document.body.addEventListener("htmx:oobBeforeSwap", event => {
      const open = event.detail.target.querySelector(".lever[open]");
      if (open && event.detail.fragment.querySelector(`#${CSS.escape(open.id)}`)) event.detail.shouldSwap = false;
    });
    document.body.addEventListener("htmx:oobAfterSwap", () => { localTimes(document); follow(); });
    // After a form was sent it gets a new key: the same key would repeat the same command.
    document.body.addEventListener("htmx:afterRequest", event => {
      const form = event.target.closest?.(".lever form");
      if (!form || !event.detail.successful) return;
      form.elements.key.value = crypto.randomUUID ? crypto.randomUUID() : String(Math.random());
      for (const each of all("textarea", form)) each.value = "";
      leave(form.closest("details"));
    });
    // Announce the status of error responses, which htmx does not insert into the page.
    document.body.addEventListener("htmx:responseError", event => {
      if (event.target.id === "health") {
        event.target.hidden = false;
        event.target.textContent = event.detail.xhr.status === 503 ? "the database does not answer" : `the server answers ${event.detail.xhr.status}`;
        return;
      }
      document.getElementById("announcement").textContent = `The server answered ${event.detail.xhr.status}.`;
    });
  }
  began();
})();
