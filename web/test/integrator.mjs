// A client as an integrator writes it from the reference of the event gateway: nothing of
// it knows this server. It comes back 5 s after every close but 1000, forgets its failed
// tries when a socket opens, and pings every 30 s.

import { EventEmitter } from "node:events";
import WebSocket from "ws";

class EventClient extends EventEmitter {
  constructor(url, token) {
    super();
    this.url = url;
    this.token = token;
    this.reconnectAttempts = 0;
    this.maxReconnectAttempts = 5;
    this.reconnectDelay = 5000;
  }

  connect() {
    this.ws = new WebSocket(`${this.url}?token=${this.token}`);
    this.ws.on("open", () => {
      this.reconnectAttempts = 0;
      this.pingInterval = setInterval(() => this.send({ type: "ping" }), 30000);
      this.emit("connected");
    });
    this.ws.on("message", (text) => this.handleMessage(JSON.parse(text.toString())));
    this.ws.on("close", (code, reason) => {
      clearInterval(this.pingInterval);
      this.emit("disconnected", { code, reason: reason.toString() });
      if (code !== 1000) this.handleReconnect();
    });
    this.ws.on("error", (error) => this.emit("failed", error.message));
  }

  handleMessage(message) {
    switch (message.type) {
      case "event":
        this.emit("event", message);
        this.emit(message.event, message.data);
        break;
      case "ping":
        this.send({ type: "pong" });
        break;
      case "error":
        if (message.data.code === "4001") this.emit("authError", message.data);
        this.emit("serverError", message.data);
        break;
      default:
        this.emit("message", message);
    }
  }

  handleReconnect() {
    if (this.reconnectAttempts >= this.maxReconnectAttempts) {
      this.emit("maxReconnectAttemptsReached");
      return;
    }
    this.reconnectAttempts++;
    setTimeout(() => this.connect(), this.reconnectDelay);
  }

  send(message) {
    if (this.ws.readyState === WebSocket.OPEN) this.ws.send(JSON.stringify(message));
  }
}

const [url, token] = process.argv.slice(2);
const client = new EventClient(url, token);
const tell = (what, value = "") => console.log(JSON.stringify({ what, value }));
client.on("connected", () => {
  client.send({ type: "subscribe", channels: ["messages", "alerts", "events"], events: ["order.paid", "message.created"] });
});
client.on("message", (message) => tell(message.data.action ?? message.type, message.data.status));
client.on("event", (event) => tell("event", event));
client.on("serverError", (error) => tell("error", error));
client.on("disconnected", ({ code }) => tell("disconnected", code));
client.on("failed", (text) => tell("failed", text));
client.on("maxReconnectAttemptsReached", () => tell("gave up"));
client.connect();
