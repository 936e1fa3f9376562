"use strict";
// Maps without tiles: outlines and towns of this server, drawn by Leaflet on a canvas.
window.weeloMaps = (() => {
  const files = document.currentScript.dataset;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const color = name => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const escape = text => String(text).replace(/[&<>"']/g, c => `&#${c.charCodeAt(0)};`);
  const json = async address => (await fetch(address, { headers: { Accept: "application/json" } })).json();
  let loaded;
  const background = () => (loaded ??= Promise.all([json(files.outlines), json(files.towns)]));

  // Labels keep their size at every zoom. At low zooms only large towns are labelled, and none on top of another.
  const Towns = L.LayerGroup.extend({
    initialize(towns) { L.LayerGroup.prototype.initialize.call(this); this.towns = towns; },
    onAdd(map) { this.map = map; map.on("moveend", this.draw, this); this.draw(); },
    onRemove(map) { map.off("moveend", this.draw, this); this.clearLayers(); },
    draw() {
      this.clearLayers();
      const zoom = this.map.getZoom(), bounds = this.map.getBounds().pad(0.1), taken = [];
      const smallest = zoom < 5 ? 4e6 : zoom < 6 ? 1.2e6 : zoom < 7 ? 5e5 : zoom < 8 ? 2e5 : 0;
      for (const [name, latitude, longitude, inhabitants] of this.towns) {
        if (inhabitants < smallest || taken.length > 70) break;
        if (!bounds.contains([latitude, longitude])) continue;
        const at = this.map.latLngToLayerPoint([latitude, longitude]);
        const box = [at.x - 4, at.y - 9, at.x + name.length * 7 + 12, at.y + 9];
        if (taken.some(o => box[0] < o[2] && o[0] < box[2] && box[1] < o[3] && o[1] < box[3])) continue;
        taken.push(box);
        const icon = L.divIcon({ className: "town", html: `<i></i>${escape(name)}`, iconSize: null });
        this.addLayer(L.marker([latitude, longitude], { icon, interactive: false, keyboard: false, pane: "towns" }));
      }
    },
  });

  function create(element, view) {
    const map = L.map(element, {
      preferCanvas: true, zoomControl: false, attributionControl: false, minZoom: 3, maxZoom: 13, zoomSnap: 0.5,
      worldCopyJump: true, maxBounds: [[-75, -200], [84, 200]], zoomAnimation: !matchMedia("(prefers-reduced-motion: reduce)").matches,
    });
    L.control.zoom({ position: "topright" }).addTo(map);
    L.control.attribution({ prefix: false }).addAttribution("Natural Earth · GeoNames CC BY").addTo(map);
    L.control.scale({ imperial: false, position: "bottomright" }).addTo(map);
    map.createPane("ground").classList.add("ground");
    map.createPane("towns").classList.add("towns");
    map.setView(view?.center ?? [22.6, 80.5], view?.zoom ?? (element.clientWidth < 600 ? 4 : 4.5));
    const renderer = L.canvas({ pane: "ground", padding: 0.3 });
    const outlines = L.geoJSON(null, { renderer, interactive: false });
    const paint = () => outlines.setStyle(({ properties: { kind } }) => ({
      color: color(kind === "land" ? "coast" : kind === "borders" ? "border" : "state"),
      weight: kind === "states" ? 0.7 : 1, opacity: 1, fill: kind === "land", fillColor: color("land"), fillOpacity: 1,
    }));
    background().then(([shapes, towns]) => {
      outlines.addData(shapes); paint(); outlines.addTo(map); new Towns(towns).addTo(map);
      element.dataset.drawn = "true";
    });
    const onScheme = [paint];
    dark.addEventListener("change", () => onScheme.forEach(each => each()));
    new ResizeObserver(() => map.invalidateSize({ pan: false })).observe(element);
    return { map, onScheme };
  }

  const statusColor = status => color(status === "partially_filled" ? "partial" : ["fully_filled", "in_progress", "completed"].includes(status)
    ? "won" : ["cancelled", "expired"].includes(status) ? "over" : "new");
  const fleetColor = state => color({ asked: "new", declined: "declined", withdrawn: "declined", won: "won", lost: "partial" }[state] ?? "over");

  // --- the live map -----------------------------------------------------------------------------------
  function live(element) {
    const { map, onScheme } = create(element);
    const get = id => document.getElementById(id);
    const broadcasts = new Map(), trucks = new Map(), marks = new Map(), rings = new Map();
    const layers = { rings: L.layerGroup().addTo(map), fleets: L.layerGroup().addTo(map), broadcasts: L.layerGroup().addTo(map), trucks: L.layerGroup().addTo(map) };
    const list = get("feed"), most = 60;
    let fleets = [], first = true, crowded = false;

    function drawBroadcast([id, status, latitude, longitude, step, radius, needed, filled, vehicle, , created, address], fresh) {
      const at = [latitude, longitude], now = statusColor(status);
      let mark = marks.get(id);
      if (!mark) {
        mark = L.circleMarker(at, { radius: 6, weight: 1.5, fillOpacity: 0.9 }).addTo(layers.broadcasts);
        mark.on("click", () => location.assign(`/console/broadcasts/${id}`));
        marks.set(id, mark);
        if (fresh) announce(address || `${latitude.toFixed(2)}, ${longitude.toFixed(2)}`);
      }
      mark.setStyle({ color: color("card"), fillColor: now });
      mark.bindTooltip(`<b>${escape(address || "broadcast")}</b><br>${escape(vehicle || "")} · ${filled}/${needed} · ${escape(status.replaceAll("_", " "))}`);
      // Thousands of rings would cover the map and one another.
      let ring = rings.get(id);
      if (crowded || step === 0 || radius === null) { if (ring) { ring.remove(); rings.delete(id); } return; }
      if (!ring) { ring = L.circle(at, { radius: radius * 1000, weight: 1, fillOpacity: 0.05, interactive: false }).addTo(layers.rings); rings.set(id, ring); }
      ring.setRadius(radius * 1000); ring.setStyle({ color: now, fillColor: now });
    }
    function drop(id) {
      broadcasts.delete(id);
      for (const shapes of [marks, rings]) { shapes.get(id)?.remove(); shapes.delete(id); }
    }
    const announce = address => { if (!first) get("announcement").textContent = `New broadcast at ${address}`; };

    function drawFleets() {
      layers.fleets.clearLayers();
      for (const [id, latitude, longitude, free] of fleets) {
        if (latitude === null) continue;
        L.circleMarker([latitude, longitude], { radius: 3.5, weight: 1.5, color: color(free ? "fleet" : "busy"), fillColor: color("card"), fillOpacity: 1 })
          .bindTooltip(`fleet ${id.slice(0, 8)}, ${free ? "has a free truck" : "all trucks busy"}`)
          .on("click", () => location.assign(`/console/fleets/${id}`)).addTo(layers.fleets);
      }
      if (!crowded) layers.broadcasts.eachLayer(each => each.bringToFront());
    }
    function drawTruck([id, broadcast, , plate, status, latitude, longitude, known]) {
      let mark = trucks.get(id)?.mark;
      if (!mark) {
        mark = L.marker([latitude, longitude], { icon: L.divIcon({ className: "truck", html: "<i></i>", iconSize: [14, 14] }), keyboard: false, alt: `truck ${plate}` }).addTo(layers.trucks);
        mark.on("click", () => location.assign(`/console/broadcasts/${broadcast}`));
      }
      mark.setLatLng([latitude, longitude]);
      mark.bindTooltip(`<b>${escape(plate)}</b><br>${escape(status.replaceAll("_", " "))}${known ? "" : "<br>position not reported; shown at its next stop"}`);
      trucks.set(id, { mark });
    }

    function count() {
      const open = [...broadcasts.values()];
      get("count-open").textContent = open.length;
      get("count-partial").textContent = open.filter(each => each[1] === "partially_filled").length;
      get("count-trucks").textContent = trucks.size;
      const newest = open.sort((a, b) => b[10] - a[10]);
      const focused = document.activeElement?.closest?.("#feed a")?.getAttribute("href");
      list.replaceChildren(...newest.slice(0, most).map(each => {
        const [id, status, latitude, longitude, , radius, needed, filled, vehicle, , created, address] = each;
        const row = document.createElement("li"), link = document.createElement("a");
        link.className = "row"; link.href = `/console/broadcasts/${id}`;
        const text = (tag, content, name) => { const part = document.createElement(tag); part.textContent = content; if (name) part.className = name; return part; };
        const time = text("time", new Date(created * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" }), "small");
        time.dateTime = new Date(created * 1000).toISOString();
        link.append(text("span", status.replaceAll("_", " "), `status ${status}`), text("b", address || `${latitude.toFixed(2)}, ${longitude.toFixed(2)}`), text("span", `${filled}/${needed} ${vehicle || ""}${radius ? ` · ${radius} km` : ""}`, "small"), time);
        link.addEventListener("focus", () => marks.get(id)?.openTooltip()); link.addEventListener("mouseenter", () => marks.get(id)?.openTooltip());
        link.addEventListener("blur", () => marks.get(id)?.closeTooltip()); link.addEventListener("mouseleave", () => marks.get(id)?.closeTooltip());
        row.append(link); return row;
      }));
      if (focused) list.querySelector(`a[href="${focused}"]`)?.focus();
      get("feed-more").hidden = newest.length <= most;
      get("feed-more").textContent = `and ${newest.length - most} more; the list of broadcasts has all`;
      if (!newest.length) { const none = document.createElement("li"); none.className = "none"; none.textContent = "No broadcast is open."; list.append(none); }
    }
    function problem(text) { const at = get("map-problem"); at.hidden = !text; at.textContent = text; }

    async function load(address) {
      // Without a limit, a request that is never answered would keep all later ones waiting.
      const answer = await fetch(address, { headers: { Accept: "application/json" }, signal: AbortSignal.timeout(10_000) });
      if (answer.status === 401) location.assign("/console/sign-in");
      if (!answer.ok) throw new Error(answer.status);
      return answer.json();
    }
    async function all() {
      try {
        const found = await load("/console/map.json");
        const open = new Set(found.broadcasts.map(each => each[0]));
        for (const id of [...broadcasts.keys()]) if (!open.has(id)) drop(id);
        crowded = open.size > 400;
        for (const each of found.broadcasts) { const fresh = !broadcasts.has(each[0]); broadcasts.set(each[0], each); drawBroadcast(each, fresh); }
        fleets = found.fleets ?? []; drawFleets();
        get("count-fleets").textContent = found.fleets ? fleets.length : "?";
        get("count-free").textContent = found.fleets ? fleets.filter(each => each[3]).length : "?";
        const driving = new Set(found.trucks.map(each => each[0]));
        for (const [id, { mark }] of [...trucks]) if (!driving.has(id)) { mark.remove(); trucks.delete(id); }
        found.trucks.forEach(drawTruck);
        count();
        problem(found.fleets ? "" : "Redis does not answer, so fleets are not shown.");
        if (first && open.size) {
          const places = found.broadcasts.slice(0, 500).map(each => [each[2], each[3]]);
          map.fitBounds(L.latLngBounds(places).pad(0.15), { maxZoom: 7, animate: false });
        }
        first = false;
      } catch { problem("The server does not answer. Trying again."); }
    }
    async function some(ids) {
      try {
        const found = await load(`/console/map.json?only=${ids.join(",")}`);
        const open = new Map(found.broadcasts.map(each => [each[0], each]));
        for (const id of ids) {
          if (!open.has(id)) { drop(id); continue; }
          const fresh = !broadcasts.has(id);
          broadcasts.set(id, open.get(id)); drawBroadcast(open.get(id), fresh);
        }
        count();
      } catch { /* the next full load shows what this one missed */ }
    }

    // Only one load runs at a time: the response to an older load could remove what a newer load has drawn.
    let waiting = new Set(), everything = false, busy = false;
    async function flush() {
      if (busy || !(everything || waiting.size)) return;
      busy = true;
      if (everything) {
        everything = false;
        waiting.clear();
        await all();
      } else {
        const ids = [...waiting].slice(0, 150);
        ids.forEach(id => waiting.delete(id));
        await some(ids);
      }
      setTimeout(() => { busy = false; flush(); }, 150);
    }
    function reload() { everything = true; flush(); }
    document.body.addEventListener("weelo-frame", ({ detail: frame }) => {
      if (frame.event === "changed") { frame.broadcasts.forEach(id => waiting.add(id)); flush(); }
      if (frame.event === "reload" || frame.event === "connected") reload();
      if (frame.event === "trucks") for (const [trip, latitude, longitude] of frame.positions) trucks.get(trip)?.mark.setLatLng([latitude, longitude]);
    });
    onScheme.push(() => { for (const each of broadcasts.values()) drawBroadcast(each, false); drawFleets(); });
    reload();
    setInterval(() => { if (!document.hidden) reload(); }, 10_000);
    element.weelo = { marks, rings };
  }

  // --- the map of one broadcast at a moment -------------------------------------------------------------
  function moment(element) {
    const { map, onScheme } = create(element);
    const shapes = L.layerGroup().addTo(map);
    let placed = "";
    function draw() {
      const source = document.getElementById("moment");
      if (!source) return;
      const then = JSON.parse(source.dataset.then), now = statusColor(then.status);
      shapes.clearLayers();
      L.polyline([then.pickup, then.drop], { color: color("soft"), weight: 1.5, dashArray: "4 6", interactive: false }).addTo(shapes);
      let ring = null;
      if (then.radiusKm !== null && then.step > 0) ring = L.circle(then.pickup, { radius: then.radiusKm * 1000, color: now, weight: 1.5, fillColor: now, fillOpacity: 0.08, interactive: false }).addTo(shapes);
      for (const [id, latitude, longitude, state] of then.fleets) {
        L.circleMarker([latitude, longitude], { radius: 5, weight: 2, color: fleetColor(state), fillColor: color("card"), fillOpacity: 1 })
          .bindTooltip(`fleet ${id.slice(0, 8)}: ${state.replaceAll("_", " ")}; where it is now`)
          .on("click", () => location.assign(`/console/fleets/${id}`)).addTo(shapes);
      }
      L.circleMarker(then.drop, { radius: 5, weight: 2, color: color("ink"), fillColor: color("card"), fillOpacity: 1 }).bindTooltip("drop").addTo(shapes);
      L.circleMarker(then.pickup, { radius: 7, weight: 2, color: color("card"), fillColor: now, fillOpacity: 1 }).bindTooltip("pickup").addTo(shapes);
      element.dataset.radius = ring ? then.radiusKm : "";
      // The map is not moved or zoomed while the slider moves, so that the ring is seen to grow.
      const key = JSON.stringify([then.pickup, then.drop]);
      if (placed !== key) { placed = key; map.fitBounds(L.latLng(then.pickup).toBounds(Math.max(60, (then.radiusKm ?? 120) * 2.2) * 1000), { animate: false }); }
    }
    onScheme.push(draw); draw();
    document.body.addEventListener("htmx:afterSettle", draw);
    document.body.addEventListener("htmx:oobAfterSwap", draw);
  }

  function place(element) {
    const at = element.dataset.place.split(",").map(Number);
    const { map, onScheme } = create(element, { center: at, zoom: 8 });
    const mark = L.circleMarker(at, { radius: 7, weight: 2, fillOpacity: 1, interactive: false }).addTo(map);
    const paint = () => mark.setStyle({ color: color("card"), fillColor: color("fleet") });
    onScheme.push(paint); paint();
  }

  return { live, moment, place };
})();
