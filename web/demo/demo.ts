// The demo page: a channel that several windows share through the unmodified
// official client. What the server sends is shown as text nodes only.

import { Centrifuge, type ClientInfo, type PublicationContext, type Subscription, UnauthorizedError } from "centrifuge";
import { words } from "./words";

const { lang, words: t } = words(navigator.languages);
const historyLimit = 100;

const $ = <E extends HTMLElement = HTMLElement>(id: string) => document.getElementById(id) as E;
const messages = $<HTMLOListElement>("messages");
const text = $<HTMLInputElement>("text");
const nameField = $<HTMLInputElement>("name");
const channelField = $<HTMLInputElement>("channel");

// One window is one person: two windows of one browser should differ.
let name = sessionStorage.getItem("name") ?? pick(t.names);
let channel = new URLSearchParams(location.search).get("channel") || "demo";
let client: Centrifuge;
let sub: Subscription;
let mine = new Set<string>(); // ids of this window's connections
let seen = new Set<number>(); // offsets shown, so that history and live messages meet without repeats
let lastAuthor = "";
let people = new Map<string, ClientInfo>();

translate();
start();

function translate() {
  document.documentElement.lang = lang;
  document.title = t.title;
  const put: Record<string, string> = {
    another: t.another, "text-label": t.text, send: t.send, "name-label": t.name,
    "channel-label": t.channel, apply: t.apply, "empty-lead": t.emptyLead, "empty-hint": t.emptyHint,
    "outside-title": t.outside, "outside-text": t.outsideText,
  };
  for (const id in put) $(id).textContent = put[id];
  text.placeholder = t.text;
  nameField.value = name;
}

/** start connects under the current name and enters the current channel. */
function start() {
  sessionStorage.setItem("name", name);
  setConnection("connecting");
  const url = new URL("/connection/websocket", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  client = new Centrifuge(url.href, { getToken, name: "kuranty-demo" });
  client.on("connecting", () => setConnection("connecting"));
  client.on("connected", (ctx) => {
    mine.add(ctx.client);
    setConnection("online");
  });
  client.on("disconnected", (ctx) => {
    setConnection("offline");
    if (ctx.code !== 0) strip("bad", t.closed(ctx.code, ctx.reason));
  });
  enter();
  client.connect();
}

/** getToken asks the demo server for a token that carries our name. */
async function getToken(): Promise<string> {
  const response = await fetch("/demo/token", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ name }),
  });
  if (response.status === 403 || response.status === 400) throw new UnauthorizedError(await response.text());
  if (!response.ok) throw new Error(`token: ${response.status}`);
  return ((await response.json()) as { token: string }).token;
}

/** enter subscribes to the current channel and shows its past. */
function enter() {
  messages.replaceChildren();
  seen = new Set();
  people = new Map();
  lastAuthor = "";
  channelField.value = channel;
  $("talk-title").textContent = t.talk(channel);
  $("outside-code").textContent =
    `curl ${location.origin}/api/publish \\\n  -H "X-API-Key: $KEY" \\\n` +
    `  -d '${JSON.stringify({ channel, data: { text: "hello" } })}'`;
  showPeople();

  const entered = client.newSubscription(channel, { joinLeave: true, recoverable: true });
  sub = entered;
  let counting = false;
  let recovered = 0;
  entered.on("publication", (ctx) => {
    if (counting) recovered++;
    show(ctx);
  });
  entered.on("subscribed", (ctx) => {
    void loadPeople(entered);
    if (!ctx.wasRecovering || !ctx.recovered) void loadHistory(entered);
    if (!ctx.wasRecovering) return;
    if (!ctx.recovered) return strip("bad", t.notRecovered);
    // The client hands over the recovered messages right after this event.
    counting = true;
    recovered = 0;
    setTimeout(() => {
      counting = false;
      strip("good", recovered > 0 ? t.recovered(recovered) : t.nothingMissed);
    });
  });
  entered.on("join", ({ info }) => {
    people.set(info.client, info);
    showPeople();
    if (!mine.has(info.client)) note(t.joined(nameOf(info)));
  });
  entered.on("leave", ({ info }) => {
    people.delete(info.client);
    showPeople();
    if (!mine.has(info.client)) note(t.left(nameOf(info)));
  });
  entered.on("unsubscribed", (ctx) => {
    if (ctx.code !== 0) strip("bad", t.refused(ctx.code, ctx.reason));
  });
  entered.subscribe();
}

async function loadHistory(of: Subscription) {
  try {
    const past = await of.history({ limit: historyLimit, reverse: true });
    if (of !== sub) return;
    const live = [...messages.children];
    const shown = new Set(seen);
    messages.replaceChildren();
    lastAuthor = "";
    for (const publication of past.publications.reverse()) {
      if (!shown.has(publication.offset ?? 0)) show(publication);
    }
    messages.append(...live);
    showEmpty();
    messages.scrollTop = messages.scrollHeight;
  } catch (error) {
    if (of === sub) strip("bad", reason(error));
  }
}

async function loadPeople(of: Subscription) {
  try {
    const { clients } = await of.presence();
    if (of !== sub) return;
    people = new Map(Object.entries(clients));
    showPeople();
  } catch (error) {
    if (of === sub) strip("bad", reason(error));
  }
}

/** show appends a publication, once. */
function show({ data, info, offset }: Pick<PublicationContext, "data" | "info" | "offset">) {
  if (offset) {
    if (seen.has(offset)) return;
    seen.add(offset);
  }
  const own = info !== undefined && (mine.has(info.client) || (info.user !== "" && info.user === name));
  const author = info ? nameOf(info) : t.service;
  const plain = typeof data?.text === "string";

  const item = element("li", "message");
  item.classList.toggle("own", own);
  if (author !== lastAuthor) {
    item.classList.add("first");
    if (!own) item.append(element("span", "name", author));
  }
  lastAuthor = author;
  item.append(element("span", plain ? "body" : "body raw", plain ? data.text : JSON.stringify(data)));
  if (typeof data?.time === "number") item.append(clock(new Date(data.time)));
  if (offset) item.dataset.offset = String(offset);
  append(item);
}

function note(what: string) {
  lastAuthor = "";
  append(element("li", "note", what));
}

/** append adds a line and stays at the end if the reader was there. */
function append(item: HTMLElement) {
  const atEnd = messages.scrollHeight - messages.scrollTop - messages.clientHeight <= 80;
  messages.append(item);
  if (atEnd) messages.scrollTop = messages.scrollHeight;
  showEmpty();
}

function showEmpty() {
  $("empty").hidden = messages.querySelector(".message") !== null;
}

/** showPeople lists users; one with several windows is one line. */
function showPeople() {
  const byName = new Map<string, { windows: number; me: boolean }>();
  for (const info of people.values()) {
    const line = byName.get(nameOf(info)) ?? { windows: 0, me: false };
    line.windows++;
    line.me ||= mine.has(info.client);
    byName.set(nameOf(info), line);
  }
  const lines = [...byName].sort(([a], [b]) => a.localeCompare(b, lang));
  $("people").replaceChildren(
    ...lines.map(([who, { windows, me }]) => {
      const item = element("li", "");
      item.append(element("span", "name", who));
      const more = [me ? t.you : "", t.windows(windows)].filter(Boolean).join(", ");
      if (more) item.append(element("span", "more", more));
      return item;
    }),
  );
  $("people-title").textContent = t.people(byName.size);
}

function nameOf(info: ClientInfo): string {
  const given: unknown = info.connInfo?.name;
  return typeof given === "string" && given !== "" ? given : info.user || `${t.guest} ${info.client.slice(0, 4)}`;
}

function setConnection(state: "connecting" | "online" | "offline") {
  document.body.dataset.connection = state;
  $("state").textContent = t[state];
  $("power").textContent = state === "offline" ? t.goOnline : t.goOffline;
}

let stripTimer = 0;
function strip(kind: "good" | "bad", what: string) {
  const bar = $("strip");
  bar.dataset.kind = kind;
  bar.textContent = what;
  bar.hidden = false;
  clearTimeout(stripTimer);
  if (kind === "good") stripTimer = setTimeout(() => (bar.hidden = true), 8000);
}

$("power").addEventListener("click", () => {
  $("strip").hidden = true;
  if (document.body.dataset.connection === "offline") client.connect();
  else client.disconnect();
});

$("another").addEventListener("click", () => {
  const there = new URL(location.href);
  window.open(there.href, "_blank", "noopener");
});

$("composer").addEventListener("submit", async (event) => {
  event.preventDefault();
  const written = text.value.trim();
  if (written === "") return;
  text.value = "";
  text.focus();
  try {
    await sub.publish({ text: written, time: Date.now() });
  } catch (error) {
    text.value = written;
    strip("bad", t.notSent(reason(error)));
  }
});

$("who").addEventListener("submit", (event) => {
  event.preventDefault();
  $("strip").hidden = true;
  const wantedChannel = channelField.value.trim();
  const wantedName = nameField.value.trim();
  if (wantedChannel === "" || wantedName === "") return;
  if (wantedChannel !== channel) {
    channel = wantedChannel;
    const address = new URL(location.href);
    address.searchParams.set("channel", channel);
    history.replaceState(null, "", address);
  }
  if (wantedName !== name) {
    name = wantedName;
    client.disconnect();
    client.removeAllListeners();
    sub.removeAllListeners();
    start();
  } else if (sub.channel !== channel) {
    sub.removeAllListeners();
    client.removeSubscription(sub);
    enter();
  }
});

function element(tag: string, className: string, content = ""): HTMLElement {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.textContent = content;
  return made;
}

function clock(when: Date): HTMLTimeElement {
  const made = document.createElement("time");
  made.dateTime = when.toISOString();
  made.title = when.toLocaleString(lang);
  made.textContent = when.toLocaleTimeString(lang, { hour: "2-digit", minute: "2-digit" });
  return made;
}

function pick(from: string[]): string {
  return from[Math.floor(Math.random() * from.length)];
}

function reason(error: unknown): string {
  const { message, code } = error as { message?: string; code?: number };
  return `${message ?? String(error)}${code ? ` (${code})` : ""}`;
}
