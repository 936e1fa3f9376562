/** The client and the socket against small servers that misbehave. */
import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, beforeEach, describe, it } from "node:test";
import { WebSocket, WebSocketServer, type WebSocket as ServerSocket } from "ws";
import { Rejected, StillPending, Unreachable, WeeloClient, WeeloSocket, type Frame, type SocketOptions, type WebSocketClass } from "../src/index.js";

/** This line is only compiled. It shows that apps may also pass the WebSocket class of the browser. */
export const OF_THE_BROWSER: WebSocketClass | undefined = globalThis.WebSocket;

type Answer = { status: number; body?: unknown; headers?: Record<string, string> } | "hang up";

let server: Server;
let sockets: WebSocketServer;
let baseUrl: string;
let answers: Answer[];
let requests: { path: string | undefined; key: string | undefined; prefer: string | undefined; authorization: string | undefined; body: string }[];
let scripts: ((socket: Peer) => Promise<void> | void)[];
let failure: unknown;

/** The server's end of one socket. */
class Peer {
  readonly heard: Record<string, unknown>[] = [];
  private awaited: (() => void) | undefined;

  constructor(readonly socket: ServerSocket) {
    socket.on("message", (data) => {
      this.heard.push(JSON.parse(String(data)) as Record<string, unknown>);
      this.awaited?.();
    });
  }

  /** Wait for message number `count` with this op, and return it. */
  async receive(op: string, count = 1): Promise<Record<string, unknown>> {
    for (;;) {
      const found = this.heard.filter((each) => each["op"] === op)[count - 1];
      if (found) return found;
      await new Promise<void>((resolve) => (this.awaited = resolve));
    }
  }

  send(event: string, data: object = {}, seq?: number): void {
    const frame = { event, at: "2026-02-19T10:00:00.000Z", data };
    this.socket.send(JSON.stringify(seq === undefined ? frame : { ...frame, seq, id: `event ${seq}` }));
  }

  async greet(seq: number): Promise<Record<string, unknown>> {
    await this.receive("auth");
    this.send("connected", { userId: "u", role: "customer", seq, serverTime: "-", heartbeatSeconds: 20 });
    return await this.receive("resume");
  }
}

before(async () => {
  server = createServer((request: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const { "idempotency-key": key, prefer, authorization } = request.headers;
      requests.push({ path: request.url, key: key as string | undefined, prefer: prefer as string | undefined, authorization, body: Buffer.concat(chunks).toString() });
      const answer = answers.length > 1 ? answers.shift() : answers[0];
      if (answer === undefined || answer === "hang up") return void request.socket.destroy();
      const type = answer.status < 400 ? "application/json" : "application/problem+json";
      response.writeHead(answer.status, { "Content-Type": type, ...answer.headers });
      response.end(answer.body === undefined ? undefined : JSON.stringify(answer.body));
    });
  });
  sockets = new WebSocketServer({ server });
  sockets.on("connection", (socket) => {
    const script = scripts.shift();
    if (script === undefined) return socket.close(1013);
    Promise.resolve(script(new Peer(socket))).catch((error: unknown) => (failure = error));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

after(() => {
  for (const each of sockets.clients) each.terminate();
  sockets.close();
  server.closeAllConnections();
  server.close();
});

beforeEach(() => {
  answers = [];
  requests = [];
  scripts = [];
  failure = undefined;
});

const PLACE = { latitude: 28.6, longitude: 77.2, address: "New Delhi" };
const BODY = { pickup: PLACE, drop: PLACE, vehicleType: "Open", vehicleSubtype: "17 Feet", trucksNeeded: 1 };
const RECEIPT = { commandId: "c-1", command: "broadcasts.create_booking", status: "pending", acceptedAt: "-", serverTime: "-" };

function problem(status: number, code: string, more: object = {}): { status: number; body: object } {
  return { status, body: { type: "about:blank", title: code, status, detail: "", code, retryable: status === 503, ...more } };
}

describe("a command", () => {
  const client = (options: object = {}): WeeloClient => new WeeloClient({ baseUrl, token: "a token", wait: 2, retryFor: 5, ...options });
  const book = (options: object = {}): Promise<unknown> => {
    const weelo = client(options);
    return weelo.result(weelo.api.POST("/api/v1/bookings", { body: BODY }));
  };

  it("carries its token, a key of its own, its wait and its body", async () => {
    answers = [{ status: 201, body: { id: "b-1" } }];
    assert.deepEqual(await book({ token: async () => "fresh" }), { id: "b-1" });
    await book();
    assert.equal(requests[0]?.authorization, "Bearer fresh");
    assert.equal(requests[0]?.prefer, "wait=2");
    assert.deepEqual(JSON.parse(requests[0]?.body ?? ""), BODY);
    assert.match(requests[0]?.key ?? "", /^[\w-]{8,128}$/);
    assert.notEqual(requests[0]?.key, requests[1]?.key);
  });

  it("is sent to the same address if the base URL ends with a slash or /api/v1, and to none if it is no address", async () => {
    for (const ending of ["", "/", "/api/v1", "/api/v1/"]) {
      requests = [];
      answers = [{ status: 201, body: {} }];
      await book({ baseUrl: baseUrl + ending });
      assert.deepEqual(requests.map((each) => each.path), ["/api/v1/bookings"]);
    }
    for (const bad of ["", "127.0.0.1:8000", "localhost:8000", "ws://api.example.com", "http://"]) {
      assert.throws(() => client({ baseUrl: bad }), /such as http:\/\/127\.0\.0\.1:8000/);
      assert.throws(() => new WeeloSocket({ baseUrl: bad, token: "a token", WebSocket }), TypeError);
    }
  });

  it("is repeated with the same key and body if its response was lost or it was not recorded", async () => {
    answers = ["hang up", problem(503, "SERVICE_UNAVAILABLE"), problem(500, "INTERNAL_ERROR"), { status: 503 }, { status: 201, body: { id: "b-1" } }];
    assert.deepEqual(await book(), { id: "b-1" });
    assert.equal(requests.length, 5);
    assert.equal(new Set(requests.map((each) => each.key)).size, 1);
    assert.equal(new Set(requests.map((each) => each.body)).size, 1);
  });

  it("waits for Retry-After", async () => {
    answers = [{ ...problem(429, "RATE_LIMITED"), headers: { "Retry-After": "1" } }, { status: 201, body: {} }];
    const began = Date.now();
    await book();
    assert(Date.now() - began >= 1000);
  });

  it("is not repeated if Retry-After is later than its time", async () => {
    answers = [{ ...problem(429, "RATE_LIMITED"), headers: { "Retry-After": "60" } }];
    await assert.rejects(book(), (error) => error instanceof Rejected && error.code === "RATE_LIMITED");
    assert.equal(requests.length, 1);
  });

  it("is rejected with the code and members of the problem, and not repeated", async () => {
    for (const [status, code] of [[409, "BROADCAST_FILLED"], [503, "ACCEPT_RETRY_EXHAUSTED"], [429, "TOGGLE_RATE_LIMITED"]] as const) {
      requests = [];
      answers = [problem(status, code, { remaining: 3 })];
      await assert.rejects(
        book(),
        (error) => error instanceof Rejected && error.code === code && error.status === status && error.problem["remaining"] === 3,
      );
      assert.equal(requests.length, 1);
    }
  });

  it("is not repeated if RATE_LIMITED is its recorded outcome, as of a webhook's test", async () => {
    answers = [{ ...problem(429, "RATE_LIMITED"), headers: { "Preference-Applied": "wait=10" } }, { status: 201, body: {} }];
    await assert.rejects(book(), (error) => error instanceof Rejected && error.code === "RATE_LIMITED");
    assert.equal(requests.length, 1);
  });

  it("is unreachable after its time, with the key to repeat it", async () => {
    answers = ["hang up"];
    await assert.rejects(book({ retryFor: 0.3 }), (error) => error instanceof Unreachable && error.key === requests[0]?.key);
    assert(requests.length > 1);
  });

  it("is polled if it was only accepted", async () => {
    answers = [{ status: 202, body: RECEIPT }, { status: 200, body: RECEIPT }, { status: 200, body: { ...RECEIPT, status: "succeeded", result: { id: "b-1" } } }];
    assert.deepEqual(await book(), { id: "b-1" });
    answers = [{ status: 202, body: RECEIPT }, { status: 200, body: { ...RECEIPT, status: "rejected", error: problem(409, "BROADCAST_FILLED").body } }];
    await assert.rejects(book(), (error) => error instanceof Rejected && error.code === "BROADCAST_FILLED");
    answers = [{ status: 202, body: RECEIPT }, { status: 200, body: RECEIPT }];
    await assert.rejects(book({ wait: 0.2 }), (error) => error instanceof StillPending && error.commandId === "c-1");
  });
});

describe("a socket", () => {
  const open: WeeloSocket[] = [];
  const listen = (options: Partial<SocketOptions> = {}): { socket: WeeloSocket; frames: Frame[]; ended: Promise<[string, number | undefined]> } => {
    const frames: Frame[] = [];
    let end: (value: [string, number | undefined]) => void;
    const ended = new Promise<[string, number | undefined]>((resolve) => (end = resolve));
    const socket = new WeeloSocket({
      baseUrl,
      token: "a token",
      WebSocket,
      onFrame: (frame) => void frames.push(frame),
      onState: (state, reason, code) => state === "ended" && end([reason, code]),
      ...options,
    });
    open.push(socket);
    return { socket, frames, ended };
  };
  const seqs = (frames: Frame[]): number[] => frames.flatMap((frame) => ("seq" in frame ? [frame.seq] : []));

  after(() => {
    for (const each of open) each.close();
    assert.equal(failure, undefined);
  });

  it("authenticates, resumes after what the app has stored, and acknowledges what it has handled", async () => {
    const acked = new Promise<[object, object, object]>((resolve) => {
      scripts = [
        async (peer) => {
          const resume = await peer.greet(9);
          peer.send("driver_timeout", {}, 8);
          peer.send("driver_timeout", {}, 9);
          resolve([await peer.receive("auth"), resume, await peer.receive("ack")]);
        },
      ];
    });
    const { frames } = listen({ after: 7 });
    assert.deepEqual(await acked, [{ op: "auth", token: "a token" }, { op: "resume", after: 7 }, { op: "ack", seq: 9 }]);
    assert.deepEqual(seqs(frames), [8, 9]);
  });

  it("starts with the next event if the app has stored nothing, and acknowledges no older one", async () => {
    const heard = new Promise<object[]>((resolve) => {
      scripts = [
        async (peer) => {
          await peer.greet(41);
          peer.socket.on("close", () => resolve(peer.heard));
        },
      ];
    });
    const { socket } = listen();
    await socket.waitFor("connected");
    socket.close();
    assert.deepEqual((await heard).slice(1), [{ op: "resume", after: 41 }]);
  });

  it("reconnects and resumes after the last frame that onFrame has handled", async () => {
    const resumed = new Promise<object>((resolve) => {
      scripts = [
        async (peer) => {
          await peer.greet(0);
          peer.send("driver_timeout", {}, 1);
          await peer.receive("ack");
          peer.socket.terminate();
        },
        async (peer) => {
          resolve(await peer.greet(2));
          peer.send("driver_timeout", {}, 1); // a repeated frame
          peer.send("driver_timeout", {}, 2);
        },
      ];
    });
    const { socket, frames } = listen();
    await socket.waitFor("driver_timeout", (frame) => frame.seq === 2);
    assert.deepEqual(await resumed, { op: "resume", after: 1 });
    assert.deepEqual(seqs(frames), [1, 2]);
    assert.equal(socket.reconnects, 1);
  });

  it("requests missing lines once, and delivers them in order", async () => {
    const again = new Promise<[object, number]>((resolve) => {
      scripts = [
        async (peer) => {
          await peer.greet(0);
          for (const seq of [1, 4, 5]) peer.send("driver_timeout", {}, seq);
          const resume = await peer.receive("resume", 2);
          for (const seq of [2, 3, 4, 5, 6]) peer.send("driver_timeout", {}, seq);
          await peer.receive("ack");
          resolve([resume, peer.heard.filter((each) => each["op"] === "resume").length]);
        },
      ];
    });
    const { socket, frames } = listen();
    await socket.waitFor("driver_timeout", (frame) => frame.seq === 6);
    assert.deepEqual(await again, [{ op: "resume", after: 1 }, 2]);
    assert.deepEqual(seqs(frames), [1, 2, 3, 4, 5, 6]);
  });

  it("calls onResync and goes on with the oldest line if the next ones were deleted", async () => {
    const resumed = new Promise<object>((resolve) => {
      scripts = [
        async (peer) => {
          await peer.greet(60);
          peer.send("resync_required", { oldestSeq: 50 });
          resolve(await peer.receive("resume", 2));
          peer.send("driver_timeout", {}, 50);
        },
      ];
    });
    const oldest: number[] = [];
    const { socket, frames } = listen({ after: 3, onResync: async (seq) => void oldest.push(seq) });
    await socket.waitFor("driver_timeout");
    assert.deepEqual([await resumed, oldest, seqs(frames)], [{ op: "resume", after: 49 }, [50], [50]]);
  });

  for (const [code, token, greeted] of [[4401, "a token", true], [4401, () => "a token", false], [4403, "a token", true], [4409, "a token", true]] as const) {
    it(`does not reconnect after ${code} (${typeof token}, ${greeted ? "after" : "before"} the greeting)`, async () => {
      scripts = [
        async (peer) => {
          if (greeted) await peer.greet(0);
          else await peer.receive("auth");
          peer.socket.close(code, "no");
        },
        () => assert.fail("it has reconnected"),
      ];
      const { socket, ended } = listen({ token });
      const waiting = assert.rejects(socket.waitFor("driver_timeout"), /ended/);
      assert.equal((await ended)[1], code);
      await waiting;
      await new Promise((resolve) => setTimeout(resolve, 500)); // longer than the first pause of the back-off
      assert.equal(scripts.length, 1);
    });
  }

  it("gets a new token from its function after 4401 on a connection that was greeted", async () => {
    const tokens = ["old", "new"];
    const auth = new Promise<object>((resolve) => {
      scripts = [
        async (peer) => {
          await peer.greet(0);
          peer.socket.close(4401, "expired");
        },
        async (peer) => resolve(await peer.receive("auth")),
      ];
    });
    listen({ token: () => tokens.shift() ?? "none" });
    assert.deepEqual(await auth, { op: "auth", token: "new" });
  });

  it("backs off and connects again while its token function fails", async () => {
    const tokens: (() => string)[] = [
      () => {
        throw new Error("the sign-in service is away");
      },
      () => "a token",
    ];
    const auth = new Promise<object>((resolve) => {
      scripts = [() => undefined, async (peer) => resolve(await peer.receive("auth"))];
    });
    const { socket } = listen({ token: () => tokens.shift()!() });
    assert.deepEqual(await auth, { op: "auth", token: "a token" });
    assert.equal(socket.reconnects, 1);
  });

  it("ends if onFrame throws, without acknowledging the frame", async () => {
    const heard = new Promise<object[]>((resolve) => {
      scripts = [
        async (peer) => {
          await peer.greet(0);
          peer.send("driver_timeout", {}, 1);
          peer.socket.on("close", () => resolve(peer.heard));
        },
      ];
    });
    const { socket, ended } = listen({
      onFrame: (frame) => {
        if (frame.event === "driver_timeout") throw new Error("the disk is full");
      },
    });
    assert.match((await ended)[0], /the disk is full/);
    assert.equal((await heard).some((each) => "op" in each && each.op === "ack"), false);
    assert.equal(socket.lastSeq, 0);
  });
});
