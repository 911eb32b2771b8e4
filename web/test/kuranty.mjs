// A real server and official clients for tests. Everything made here is bound to a
// test (or suite) and ends with it.

import { spawn } from "node:child_process";
import { createHmac, randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { after, before } from "node:test";
import * as json from "centrifuge";
import * as protobuf from "centrifuge/build/protobuf";
import WebSocket from "ws";

const binary = process.env.KURANTY_BINARY;
if (!binary) throw new Error("KURANTY_BINARY is not set: run these tests through go test ./web");

export const secret = "token-secret-of-the-tests";
export const key = "api-key-of-the-tests";

// How long anything may take before a test gives up; CI machines are slow.
export const patience = 30_000;

// How late a refresh may come before the server closes what has expired: long
// enough that a machine at its limit is in time, and far below patience.
const closeDelay = "8s";

const everything = {
  allow_subscribe_for_client: true, allow_publish_for_client: true,
  presence: true, join_leave: true, allow_presence_for_client: true,
  history_size: 400, history_ttl: "1h", allow_history_for_client: true,
};

/** options is a configuration in which each namespace shows one side of the protocol. */
export function options(more = {}) {
  const { client, channel, ...rest } = more;
  return {
    client: {
      token: { hmac_secret_key: secret },
      allowed_origins: ["http://allowed.example"],
      allow_anonymous_connect_without_token: true,
      expired_close_delay: closeDelay, expired_sub_close_delay: closeDelay, presence_update_interval: "1s",
      ...client,
    },
    http_api: { key },
    channel: channel ?? {
      namespaces: [
        { name: "open", ...everything, allow_positioning: true, allow_recovery: true },
        { name: "recover", ...everything, force_recovery: true },
        { name: "position", ...everything, force_positioning: true },
        { name: "short", ...everything, history_size: 5, force_recovery: true },
        { name: "cache", ...everything, force_recovery: true, force_recovery_mode: "cache" },
        { name: "members", ...everything, force_push_join_leave: true },
        { name: "users", ...everything, allow_subscribe_for_client: false, allow_user_limited_channels: true },
        { name: "read", allow_subscribe_for_client: true },
        { name: "closed" },
        { name: "objects", ...everything, publication_data_format: "json_object" },
        { name: "binary", ...everything, publication_data_format: "binary" },
        { name: "digits", ...everything, channel_regex: "^[0-9]+$" },
      ],
    },
    ...rest,
  };
}

/** gatewayOptions is a configuration with a type of events that anybody with the key appends. */
export function gatewayOptions(more = {}) {
  return options({ channel: { namespaces: [] }, events: { types: [{ type: "order.paid", summary: "An order was paid." }] }, ...more });
}

/** appendEvent appends one of that type. */
export async function appendEvent(server, data) {
  const response = await fetch(`${server.url}/v1/events`, {
    method: "POST", headers: { "X-API-Key": key, "Content-Type": "application/json" }, body: JSON.stringify({ type: "order.paid", data }),
  });
  if (response.status !== 202) throw new Error(`append an event: ${response.status} ${await response.text()}`);
}

/** Server is a running kuranty. Its port stays the same over restarts. */
export class Server {
  port = 0;
  log = [];

  constructor(config, command = "serve") {
    this.command = command;
    this.dir = mkdtempSync(path.join(tmpdir(), "kuranty-js-"));
    this.config = path.join(this.dir, "config.json");
    if (config) writeFileSync(this.config, JSON.stringify(config));
    this.args = config ? ["--config", this.config] : [];
  }

  /** start resolves once the server says where it listens. */
  async start() {
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("KURANTY_")));
    this.process = spawn(binary, [
      this.command, ...this.args, "--data-dir", path.join(this.dir, "data"),
      "--http_server.port", String(this.port), "--log.format", "json",
    ], { stdio: ["ignore", "pipe", "pipe"], env });
    this.exit = once(this.process, "exit");
    const ready = deferred();
    for (const stream of [this.process.stdout, this.process.stderr]) {
      createInterface({ input: stream }).on("line", (line) => {
        this.log.push(line);
        try {
          const record = JSON.parse(line);
          if (record.msg === "ready") ready.resolve(record.address);
        } catch {
          // A line that is no record is kept in the log for the failure message.
        }
      });
    }
    this.exit.then(([code]) => ready.reject(new Error(`the server ended with ${code}:\n${this.log.join("\n")}`)));
    this.address = await within(ready.promise, "the ready line");
    this.port = Number(this.address.split(":").at(-1));
    return this;
  }

  get url() {
    return `http://${this.address}`;
  }

  get ws() {
    return `ws://${this.address}/connection/websocket`;
  }

  /** stop ends the server by a signal and resolves to its exit code. */
  async stop(signal = "SIGTERM") {
    this.process.kill(signal);
    const [code] = await within(this.exit, `the end after ${signal}`, 40_000);
    return code;
  }

  /** close stops a server that still runs and removes its files. */
  async close() {
    if (this.process?.exitCode === null && this.process.signalCode === null) await this.stop("SIGKILL");
    rmSync(this.dir, { recursive: true, force: true });
  }

  /** call is a method of the server API; it throws the API's error. */
  async call(method, params = {}) {
    return this.callText(method, JSON.stringify(params));
  }

  /** callText takes the request's body as it is. */
  async callText(method, body) {
    const response = await fetch(`${this.url}/api/${method}`, { method: "POST", headers: { "X-API-Key": key }, body });
    const text = await response.text();
    if (response.status !== 200) throw new Error(`${method}: ${response.status} ${text}`);
    const { result, error } = JSON.parse(text);
    if (error) throw Object.assign(new Error(`${method}: ${error.message}`), { code: error.code });
    return result;
  }

  publish(channel, data) {
    return this.call("publish", { channel, data });
  }
}

/** serve is a server for the calling suite: it runs while the suite's tests do. */
export function serve(config = options(), command) {
  const server = new Server(config, command);
  before(() => server.start());
  after(() => server.close());
  return server;
}

/** token signs claims (HS256). */
export function token(claims, signedWith = secret) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const head = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
  return `${head}.${createHmac("sha256", signedWith).update(head).digest("base64url")}`;
}

/** soon is a time in seconds from now, as tokens have it. */
export const soon = (seconds) => Math.floor(Date.now() / 1000) + seconds;

/** user makes up a user nobody else is. */
export const user = () => `u${randomUUID().slice(0, 8)}`;

let channels = 0;
/** name makes up a channel of a namespace that nobody else uses. */
export const name = (namespace) => `${namespace}:${++channels}`;

/** formats are the two builds of the client, with their idea of payloads. */
export const formats = {
  json: { ...json, encode: (value) => value, decode: (value) => value },
  protobuf: {
    ...protobuf,
    encode: (value) => new TextEncoder().encode(JSON.stringify(value)),
    decode: (value) => (value === undefined ? undefined : JSON.parse(new TextDecoder().decode(value))),
  },
};

/** Line is the network between one client and the server. */
export class Line {
  sockets = [];
  sent = [];
  received = [];
  /** While down, nothing can be reached. */
  down = false;
  /** While muted, what the client sends goes nowhere. */
  muted = false;

  constructor(more = {}) {
    const line = this;
    this.Socket = class extends WebSocket {
      constructor(url, protocols) {
        super(line.down ? "ws://127.0.0.1:1/" : url, protocols, more);
        line.sockets.push(this);
        this.on("message", (data) => line.received.push(data));
      }

      send(data, ...rest) {
        line.sent.push(data);
        if (!line.muted) super.send(data, ...rest);
      }
    };
  }

  /** cut breaks the connection without a word, and keeps it broken. */
  cut() {
    this.down = true;
    this.sockets.at(-1).terminate();
  }

  mend() {
    this.down = false;
  }
}

/**
 * client makes an official client for test t, not yet connected. claims become
 * its token; without them it has none unless more says so.
 */
export function client(t, server, { format = "json", claims, line = new Line(), ...more } = {}) {
  const made = new formats[format].Centrifuge(server.ws, {
    websocket: line.Socket,
    minReconnectDelay: 10, maxReconnectDelay: 100, timeout: patience,
    ...(claims && { token: token(claims) }),
    ...more,
  });
  made.line = line;
  made.encode = formats[format].encode;
  made.decode = formats[format].decode;
  made.on("error", () => {}); // tests wait for the errors they expect
  t.after(() => made.disconnect());
  return made;
}

/** connected makes a client and waits until it is connected. */
export async function connected(t, server, more) {
  const made = client(t, server, more);
  const up = event(made, "connected");
  made.connect();
  made.hello = await up;
  return made;
}

/** subscription makes one that is quick to try again. */
export function subscription(c, channel, more = {}) {
  const made = c.newSubscription(channel, { minResubscribeDelay: 10, maxResubscribeDelay: 100, ...more });
  made.on("error", () => {});
  made.publications = [];
  made.on("publication", (ctx) => made.publications.push(ctx));
  return made;
}

/** subscribed makes a subscription and waits until it stands. */
export async function subscribed(c, channel, more) {
  const made = subscription(c, channel, more);
  const up = event(made, "subscribed");
  made.subscribe();
  made.answer = await up;
  return made;
}

/** event waits for an event of a client or subscription for which accept holds. */
export function event(emitter, kind, accept = () => true) {
  const seen = [];
  const { promise, resolve } = deferred();
  const listen = (ctx) => {
    seen.push(ctx);
    if (!accept(ctx)) return;
    emitter.removeListener(kind, listen);
    resolve(ctx);
  };
  emitter.on(kind, listen);
  return within(promise, () => `event ${kind}; seen: ${JSON.stringify(seen)}`);
}

/** publications waits until a subscription has n of them and returns their data. */
export async function publications(sub, n, c) {
  while (sub.publications.length < n) await event(sub, "publication");
  return sub.publications.map((ctx) => c.decode(ctx.data));
}

/** outcome turns a promise into the code it was refused with, 0 if it was not. */
export const outcome = (promise) => promise.then(() => 0, (error) => error.code ?? error);

/** until polls for what has no event. */
export async function until(what, holds, limit = patience) {
  const end = Date.now() + limit;
  for (;;) {
    const value = await holds();
    if (value) return value;
    if (Date.now() > end) throw new Error(`waited ${limit} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** raw opens a bare WebSocket that speaks JSON frames. */
export async function raw(t, server, path = "", protocols = [], more = {}) {
  const socket = new WebSocket(server.ws + path, protocols, more);
  t.after(() => socket.terminate());
  const frames = [];
  const waiting = [];
  socket.on("message", (data, isBinary) => {
    frames.push(isBinary ? data : data.toString());
    waiting.shift()?.();
  });
  socket.closed = within(new Promise((resolve) => {
    socket.on("close", (code, reason) => resolve({ code, reason: reason.toString() }));
  }), "the close frame").catch((error) => error);
  socket.frame = async () => {
    if (frames.length === 0) await within(new Promise((resolve) => waiting.push(resolve)), "a frame");
    return frames.shift();
  };
  await within(once(socket, "open"), "an open socket");
  return socket;
}

function within(promise, what, limit = patience) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`waited ${limit} ms for ${typeof what === "function" ? what() : what}`));
    }, limit);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function deferred() {
  let resolve, reject;
  const promise = new Promise((yes, no) => ([resolve, reject] = [yes, no]));
  return { promise, resolve, reject };
}
