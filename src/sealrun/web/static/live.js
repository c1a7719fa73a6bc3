// Live sections, relative times, copy buttons, the theme, parts that take long. Without this script every page and
// form works all the same; only the newest state takes a reload.

const main = document.getElementById("main");
const spoken = document.getElementById("said");

// --- times: said in the same words as web/wording.py says them -------------------------------------

const MINUTE = 60, HOUR = 3600, DAY = 86400;
// The server's clock when it made this page, less ours: the ages are right on a machine whose clock is wrong.
const made = Date.parse(document.querySelector("footer time")?.dateTime ?? "");
const ahead = Number.isNaN(made) || Math.abs(made - Date.now()) < 5000 ? 0 : made - Date.now();

function relative(at) {
  const seconds = Math.round((at - Date.now() - ahead) / 1000);
  const far = Math.abs(seconds);
  const [unit, word] = far < MINUTE ? [1, "s"] : far < 2 * HOUR ? [MINUTE, "min"] : far < 2 * DAY ? [HOUR, "h"] : [DAY, "days"];
  const text = `${Math.floor(far / unit)} ${word}`;
  return seconds > 0 ? `in ${text}` : `${text} ago`;
}

function tellTimes(root) {
  for (const time of root.querySelectorAll("time[data-ago]")) {
    const at = Date.parse(time.dateTime);
    if (!Number.isNaN(at) && time.textContent !== relative(at)) time.textContent = relative(at);
  }
}

// --- copying -----------------------------------------------------------------------------------------

function offerCopies(root) {
  for (const box of root.querySelectorAll(".copy")) {
    if (box.querySelector("button") || !navigator.clipboard) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Copy";
    const what = box.dataset.what;
    if (what) button.setAttribute("aria-label", `Copy: ${what}`);
    button.addEventListener("click", async () => {
      let done = "Copied";
      try { await navigator.clipboard.writeText(box.firstElementChild.textContent); } catch { done = "Not allowed"; }
      button.textContent = spoken.textContent = done;
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
    box.append(button);
  }
}

// --- sections that change ------------------------------------------------------------------------------

async function fetchPage(address) {
  const answer = await fetch(address, { headers: { "X-Fragment": "1" }, cache: "no-store" });
  if (!answer.ok || answer.redirected) throw new Error(`answered ${answer.status}`);
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

// Somebody is busy in there: typing, choosing, or selecting text.
function inUse(section) {
  const at = document.activeElement;
  if (section.contains(at) && at.matches("input:not([type=hidden]), select, textarea")) return true;
  const selection = getSelection();
  return selection !== null && !selection.isCollapsed && section.contains(selection.anchorNode);
}

function replace(section, fresh) {
  const open = [...section.querySelectorAll("details")].map((each) => each.open);
  const scrolled = [...section.querySelectorAll(".scroll, .lineage, pre")].map((each) => [each.scrollLeft, each.scrollTop]);
  const able = "a[href], button, summary, [tabindex]";
  const focused = [...section.querySelectorAll(able)].indexOf(document.activeElement);
  section.replaceChildren(...[...fresh.childNodes].map((each) => document.adoptNode(each)));
  section.querySelectorAll("details").forEach((each, index) => { if (open[index] !== undefined) each.open = open[index]; });
  enhance(section);
  section.querySelectorAll(".scroll, .lineage, pre").forEach((each, index) => {
    if (scrolled[index]) [each.scrollLeft, each.scrollTop] = scrolled[index];
  });
  if (focused >= 0) [...section.querySelectorAll(able)][focused]?.focus({ preventScroll: true });
}

// What the server sent for a section is compared with what it sends now, not with what the script made of it.
// How old something is changes all the time and the script tells it; the rest is news.
const sent = new Map();
function essence(section) {
  const copy = section.cloneNode(true);
  for (const time of copy.querySelectorAll("time[data-ago]")) time.textContent = "";
  for (const field of copy.querySelectorAll("input[type=hidden]")) field.remove();
  return copy.innerHTML;
}
const wanted = new Set();

async function refresh() {
  const page = await fetchPage(location.href);
  document.title = page.title;
  for (const section of main.querySelectorAll("[data-live]")) {
    const fresh = page.getElementById(section.id);
    if (!fresh) { location.reload(); return; }
    const text = essence(fresh);
    if (sent.get(section.id) === text) continue;
    if (inUse(section)) { wanted.add(section.id); continue; }
    wanted.delete(section.id);
    sent.set(section.id, text);
    replace(section, fresh);
    section.dataset.every = fresh.dataset.every ?? "";
    section.classList.remove("changed");
    void section.offsetWidth;
    section.classList.add("changed");
  }
}

let busy = false, again = false, on = true;

async function soon() {
  if (!on || document.hidden || busy) { again = true; return; }
  busy = true; again = false;
  try { await refresh(); } catch { /* the button says that the daemon is away; the next event asks again */ }
  // At most one question a second, however much happens.
  setTimeout(() => { busy = false; if (again) soon(); }, 1000);
}

function follow() {
  const button = document.getElementById("live");
  const sections = [...main.querySelectorAll("[data-live]")];
  if (!sections.length) return;
  for (const section of sections) sent.set(section.id, essence(section));
  try { on = localStorage.getItem("live") !== "off"; } catch { /* no storage: on */ }
  let stream = null;
  // Only a page that is looked at listens: browsers open six connections to a server, whatever the number of tabs.
  const listen = () => {
    stream?.close();
    button.textContent = on ? "Live: …" : "Live: off";
    if (!on || document.hidden) return;
    const source = stream = new EventSource("/live");
    source.onopen = () => { button.textContent = "Live: on"; soon(); };
    source.addEventListener("changed", soon);
    source.onerror = () => {
      button.textContent = "Live: away";
      if (source.readyState === EventSource.CLOSED) setTimeout(() => { if (stream === source) listen(); }, 15000);
    };
  };
  button.hidden = false;
  button.title = "Whether this page changes by itself";
  button.addEventListener("click", () => {
    on = !on;
    try { localStorage.setItem("live", on ? "on" : "off"); } catch { /* for this page only */ }
    listen();
  });
  listen();
  document.addEventListener("visibilitychange", listen);
  // Bytes on their way are no events, and neither is the end of somebody's typing.
  setInterval(() => { if (wanted.size || main.querySelector('[data-every="2"]')) soon(); }, 2000);
  addEventListener("pagehide", () => stream?.close());
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
}

// --- parts that take long: a link to a page of its own, fetched into place ------------------------------

function offerParts(root) {
  for (const link of root.querySelectorAll("a[data-load]")) {
    link.addEventListener("click", async (event) => {
      event.preventDefault();
      const place = document.getElementById(link.dataset.load);
      link.setAttribute("aria-busy", "true");
      place.textContent = spoken.textContent = "Asking the registry; this may take a while.";
      try {
        const fresh = (await fetchPage(link.href)).getElementById(link.dataset.load);
        if (!fresh) throw new Error("no such part");
        place.replaceChildren(...fresh.childNodes);
        enhance(place);
        spoken.textContent = "Here it is.";
      } catch { location.assign(link.href); }
      link.removeAttribute("aria-busy");
    });
  }
}

// --- the theme -----------------------------------------------------------------------------------------

function offerTheme() {
  const button = document.getElementById("theme");
  const words = { system: "Auto", light: "Light", dark: "Dark" };
  const themes = Object.keys(words);
  const root = document.documentElement;
  const show = () => {
    const word = words[root.dataset.theme ?? "system"];
    button.textContent = `◐ ${word}`;
    button.setAttribute("aria-label", `Theme: ${word}`);
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    const next = themes[(themes.indexOf(root.dataset.theme ?? "system") + 1) % themes.length];
    if (next === "system") delete root.dataset.theme; else root.dataset.theme = next;
    try { localStorage.setItem("theme", next); } catch { /* for this page only */ }
    show();
  });
  show();
}

function enhance(root) {
  tellTimes(root);
  offerCopies(root);
  offerParts(root);
}

offerTheme();
follow();
enhance(document);
setInterval(() => tellTimes(document), 5000);
