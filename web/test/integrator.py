"""A client as an integrator writes it from the reference of the event gateway: nothing of it
knows this server. It comes back 5 s after every close but 1000, forgets its failed tries
when a socket opens, and pings every 30 s."""

import asyncio
import json
import sys

import websockets


def tell(what, value=""):
    print(json.dumps({"what": what, "value": value}), flush=True)


class EventClient:
    def __init__(self, url, token):
        self.url = url
        self.token = token
        self.reconnect_attempts = 0
        self.max_reconnect_attempts = 5
        self.reconnect_delay = 5

    async def run(self):
        while True:
            code = 1006
            try:
                async with websockets.connect(f"{self.url}?token={self.token}") as socket:
                    self.reconnect_attempts = 0
                    pings = asyncio.ensure_future(self.ping(socket))
                    try:
                        await socket.send(json.dumps({
                            "type": "subscribe",
                            "channels": ["messages", "alerts", "events"],
                            "events": ["order.paid", "message.created"],
                        }))
                        async for text in socket:
                            await self.handle(socket, json.loads(text))
                        code = 1000
                    finally:
                        pings.cancel()
            except websockets.exceptions.ConnectionClosed as closed:
                code = closed.code
                tell("disconnected", code)
            except Exception as error:
                tell("failed", str(error))
            if code == 1000:
                return
            if self.reconnect_attempts >= self.max_reconnect_attempts:
                tell("gave up")
                return
            self.reconnect_attempts += 1
            await asyncio.sleep(self.reconnect_delay)

    async def ping(self, socket):
        while True:
            await asyncio.sleep(30)
            await socket.send(json.dumps({"type": "ping"}))

    async def handle(self, socket, message):
        kind = message["type"]
        if kind == "event":
            tell("event", message)
        elif kind == "ping":
            await socket.send(json.dumps({"type": "pong"}))
        elif kind == "error":
            tell("error", message["data"])
        else:
            tell(message["data"].get("action", kind), message["data"].get("status", ""))


asyncio.run(EventClient(sys.argv[1], sys.argv[2]).run())
