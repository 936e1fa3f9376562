"use strict";
(() => {
  const box = document.getElementById("film");
  if (!box) return;
  const films = JSON.parse(document.getElementById("film-data").textContent);
  const scrub = box.querySelector("input"), button = box.querySelector("button"), speed = box.querySelector("select");
  const clock = box.querySelector("output"), still = matchMedia("(prefers-reduced-motion: reduce)");
  const KM = 111.32, last = Math.max(...films.map(film => film.seconds));
  const two = number => String(Math.floor(number)).padStart(2, "0");
  const clockAt = (film, t) => {
    const all = ((film.hour * 3600 + t) % 86400 + 86400) % 86400;
    return `${two(all / 3600)}:${two(all / 60 % 60)}:${two(all % 60)}`;
  };
  let now = 0, playing = false, before = 0, colours = {};

  // What a film shows depends on the time only, so that the scrubber can go to any moment.
  const stages = films.map((film, place) => {
    const canvas = box.querySelectorAll("canvas")[place], part = canvas.closest("figure");
    const points = [...film.fleets, ...film.requests.map(each => each.from)];
    const middle = (values, share) => values.sort((a, b) => a - b)[Math.floor(share * (values.length - 1))] ?? 0;
    const lat = [middle(points.map(p => p[0]), 0.01), middle(points.map(p => p[0]), 0.99)];
    const lon = [middle(points.map(p => p[1]), 0.01), middle(points.map(p => p[1]), 0.99)];
    const squeeze = Math.cos((lat[0] + lat[1]) / 2 * Math.PI / 180);
    const trips = film.fleets.map(() => []);
    const events = [];
    film.requests.forEach((request, number) => {
      const name = `request ${number + 1}`;
      events.push([request.at, `${name}, ${request.town}: ${request.trucks} ${request.trucks === 1 ? "truck" : "trucks"} wanted`]);
      events.push([request.end[0], `${name} ${request.end[1]} after ${Math.round(request.end[0] - request.at)} s`, request.end[1]]);
    });
    for (const trip of film.trips) {
      trips[trip[0]].push(trip);
      events.push([trip[2], `fleet ${trip[0] + 1} wins a truck of request ${trip[1] + 1}`, "won"]);
    }
    events.sort((a, b) => a[0] - b[0]);
    // A fleet with one truck waits for its next load where the last one was delivered.
    film.fleets.forEach((fleet, number) => {
      let at = fleet.slice(0, 2);
      for (const trip of trips[number]) {
        trip.begin = at;
        if (fleet[2] === 1 && trip[6] !== null && trip[7] !== null) at = film.requests[trip[1]].to;
      }
    });
    return {film, canvas, part, lat, lon, squeeze, trips, events, offers: film.requests.flatMap(r => r.offers.map(o => o[0])).sort((a, b) => a - b),
      won: film.trips.map(trip => trip[2]).sort((a, b) => a - b), ends: film.requests.map(r => r.end[0]).sort((a, b) => a - b),
      begins: film.requests.map(r => r.at).sort((a, b) => a - b)};
  });
  const upTo = (times, t) => {
    let low = 0, high = times.length;
    while (low < high) { const half = (low + high) >> 1; if (times[half] <= t) low = half + 1; else high = half; }
    return low;
  };
  const between = (a, b, share) => [a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share];

  function whereOf(stage, trip, t) {
    const {from, to} = stage.film.requests[trip[1]], [, , , out, pickup, leaves, drop] = trip;
    if (out === null || t < out) return null;
    const share = (begin, end) => end === null ? 0.5 : Math.min(1, (t - begin) / Math.max(1, end - begin));
    if (pickup === null || t < pickup) return between(trip.begin, from, share(out, pickup ?? trip[7]));
    if (leaves === null || t < leaves) return from;
    if (drop === null || t < drop) return between(from, to, share(leaves, drop ?? trip[7]));
    return to;
  }

  function draw(stage, t) {
    const {film, canvas, lat, lon, squeeze} = stage, pen = canvas.getContext("2d");
    const ratio = devicePixelRatio || 1, wide = canvas.clientWidth, high = canvas.clientHeight;
    if (wide <= 40 || high <= 40) return;
    if (canvas.width !== Math.round(wide * ratio) || canvas.height !== Math.round(high * ratio)) {
      canvas.width = Math.round(wide * ratio); canvas.height = Math.round(high * ratio);
    }
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, wide, high);
    const scale = Math.min((wide - 40) / Math.max(0.02, (lon[1] - lon[0]) * squeeze), (high - 40) / Math.max(0.02, lat[1] - lat[0]));
    const x = p => wide / 2 + (p[1] - (lon[0] + lon[1]) / 2) * squeeze * scale;
    const y = p => high / 2 - (p[0] - (lat[0] + lat[1]) / 2) * scale;
    const perKm = scale / KM, shown = Math.max(6, speed.value * 0.8);
    const dot = (p, size, colour) => { pen.fillStyle = colour; pen.beginPath(); pen.arc(x(p), y(p), size, 0, 7); pen.fill(); };
    const line = (a, b, width, colour) => { pen.strokeStyle = colour; pen.lineWidth = width; pen.beginPath(); pen.moveTo(x(a), y(a)); pen.lineTo(x(b), y(b)); pen.stroke(); };

    pen.font = "11px system-ui, sans-serif"; pen.textAlign = "center";
    const taken = [];
    for (const [name, ...at] of film.towns) {
      const px = x(at), py = y(at), half = name.length * 3.4 + 6;
      if (taken.some(([ox, oy, oh]) => Math.abs(ox - px) < oh + half && Math.abs(oy - py) < 14)) continue;
      taken.push([px, py, half]);
      pen.globalAlpha = 0.6; pen.fillStyle = colours.soft; pen.fillText(name, px, py - 7);
    }
    const length = [1, 2, 5, 10, 20, 50, 100].find(km => km * perKm > 50) ?? 100;
    pen.globalAlpha = 1; pen.strokeStyle = colours.soft; pen.lineWidth = 1.5; pen.beginPath();
    pen.moveTo(14, high - 14); pen.lineTo(14 + length * perKm, high - 14); pen.stroke();
    pen.textAlign = "left"; pen.fillStyle = colours.soft; pen.fillText(`${length} km`, 14, high - 20);

    const open = film.requests.filter(r => r.at <= t && t < r.end[0] + shown * 2);
    const asked = new Set();
    for (const request of open) {
      const live = t < request.end[0], fade = live ? 1 : 1 - (t - request.end[0]) / (shown * 2);
      let km = 0, ring = 0;
      for (const [at, to] of request.rings) if (at <= t) { const before = ring; ring = to ?? 150; km = before + (ring - before) * Math.min(1, (t - at) / 4); }
      if (live && km > 0) {
        pen.globalAlpha = 0.09; pen.fillStyle = colours.ring; pen.beginPath(); pen.arc(x(request.from), y(request.from), km * perKm, 0, 7); pen.fill();
        pen.globalAlpha = 0.55; pen.strokeStyle = colours.ring; pen.lineWidth = 1.2; pen.stroke();
      }
      for (const [at, fleet] of request.offers) if (at <= t && live) {
        asked.add(fleet);
        const age = (t - at) / shown;
        if (age < 1) { pen.globalAlpha = 0.35 * (1 - age); line(request.from, film.fleets[fleet], 1, colours.ring); }
      }
      pen.globalAlpha = Math.max(0, fade);
      const colour = live ? colours.ring : request.end[1] === "filled" ? colours.good : colours.bad;
      pen.fillStyle = colour; pen.beginPath();
      const px = x(request.from), py = y(request.from), size = 5.5 + Math.min(3, request.trucks);
      pen.moveTo(px, py - size); pen.lineTo(px + size, py); pen.lineTo(px, py + size); pen.lineTo(px - size, py); pen.fill();
      if (!live) { pen.lineWidth = 2; pen.strokeStyle = colour; pen.beginPath(); pen.arc(px, py, 8 + 16 * (1 - fade), 0, 7); pen.stroke(); }
    }
    film.fleets.forEach((fleet, number) => {
      let at = fleet, away = 0;
      for (const trip of stage.trips[number]) {
        if (trip[2] > t) break;
        const over = trip[7] !== null && t >= trip[7];
        if (over) { if (fleet[2] === 1 && trip[6] !== null) at = film.requests[trip[1]].to; continue; }
        away += 1;
        const age = (t - trip[2]) / (shown * 2.5);
        if (age < 1) { pen.globalAlpha = 1 - age; line(trip.begin, film.requests[trip[1]].from, 2.5, colours.good); }
        const where = whereOf(stage, trip, t);
        if (where === null) continue;
        if (fleet[2] === 1) { at = where; continue; }
        pen.globalAlpha = 1; pen.fillStyle = colours.good; pen.fillRect(x(where) - 2.5, y(where) - 2.5, 5, 5);
      }
      pen.globalAlpha = 1;
      dot(at, 2.2 + Math.min(2.5, fleet[2] / 2), away >= fleet[2] ? colours.good : asked.has(number) ? colours.ring : colours.soft);
    });
    pen.globalAlpha = 1;
    const waiting = upTo(stage.begins, t) - upTo(stage.ends, t), offers = upTo(stage.offers, t), won = upTo(stage.won, t);
    const cells = stage.part.querySelectorAll("dd");
    [upTo(stage.begins, t), waiting, offers, won].forEach((value, n) => { cells[n].textContent = value.toLocaleString("en"); });
    const until = upTo(stage.events.map(each => each[0]), t), list = stage.part.querySelector("ol");
    if (list.dataset.until !== String(until)) {
      list.dataset.until = until;
      list.replaceChildren(...stage.events.slice(Math.max(0, until - 4), until).reverse().map(([at, text, kind]) => {
        const item = document.createElement("li"), time = document.createElement("b");
        time.textContent = clockAt(film, at); item.append(time, ` ${text}`);
        if (kind) item.className = kind === "won" || kind === "filled" ? "better" : "worse";
        return item;
      }));
    }
  }

  function show() {
    for (const stage of stages) draw(stage, now);
    scrub.value = now;
    clock.textContent = clockAt(films[0], now);
    scrub.setAttribute("aria-valuetext", clock.textContent);
  }
  function frame(at) {
    if (!playing) return;
    now = Math.min(last, now + Math.min(0.1, (at - before) / 1000) * speed.value);
    before = at;
    show();
    if (now >= last) play(false); else requestAnimationFrame(frame);
  }
  function play(on) {
    playing = on;
    button.textContent = on ? "Pause" : "Play";
    button.setAttribute("aria-pressed", on);
    if (!on) return;
    if (now >= last) now = 0;
    before = performance.now();
    requestAnimationFrame(frame);
  }
  function paint() {
    const style = getComputedStyle(document.documentElement);
    colours = {soft: style.getPropertyValue("--soft"), ring: style.getPropertyValue("--policy-0"), good: style.getPropertyValue("--good"), bad: style.getPropertyValue("--bad")};
    show();
  }
  scrub.max = last;
  scrub.step = 1;
  button.addEventListener("click", () => play(!playing));
  scrub.addEventListener("input", () => { now = Number(scrub.value); show(); });
  speed.addEventListener("change", show);
  box.addEventListener("keydown", event => {
    if (event.target === button || event.target === speed) return;
    if (event.key === " ") { event.preventDefault(); play(!playing); }
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
  addEventListener("resize", show);
  now = Math.max(0, Math.min(...films.map(film => film.requests[0]?.at ?? 0)) + 20);
  if (still.matches) speed.value = "10";
  paint();
  box.dataset.ready = "yes";
})();
