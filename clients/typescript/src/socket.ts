/** One user's events live, in order and exactly once, across any number of lost connections. */
import type { components } from "./frames.js";
import { backOff, checkedBaseUrl, currentToken, type Token } from "./http.js";

type ServerFrames = components["schemas"]["ServerFrames"];
type ClientMessages = components["schemas"]["ClientMessages"];

/** A frame that the server sends. Its `event` names its kind. Frames of the user's log have a `seq`. */
export type Frame = ServerFrames[keyof ServerFrames];
export type FrameNamed<Event extends Frame["event"]> = Extract<Frame, { event: Event }>;
export type ClientMessage = ClientMessages[keyof ClientMessages];

/** The part of a WebSocket that this client uses. Browsers, React Native, Node 22 and the package `ws` have it. */
export interface WebSocketLike {
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  send(text: string): void;
  close(code?: number): void;
}

export type WebSocketClass = new (url: string) => WebSocketLike;

export interface SocketOptions {
  /** The address of the API, such as `https://api.example.com`. Another text throws a TypeError. */
  baseUrl: string;
  token: Token;
  /** The last `seq` that you have stored: you receive every later event. Without it you receive only new events. */
  after?: number;
  /**
   * Called for each new frame, in order. The next call waits until the promise of this one is settled. The frame then
   * counts as received and is acknowledged, so store here what you must not lose, with its `seq`. If `onFrame` throws,
   * the socket ends.
   */
  onFrame?: (frame: Frame) => void | Promise<void>;
  /** Called if events were deleted before you received them: read your state again. The next frame is the oldest event that is left. */
  onResync?: (oldestSeq: number) => void | Promise<void>;
  /** Called when the connection changes. `ended`: the socket does not reconnect. `reason` is the cause. */
  onState?: (state: "connected" | "disconnected" | "ended", reason: string, code?: number) => void;
  /** The WebSocket class, by default the global one. Node 20 has none: pass the class of the package `ws`. */
  WebSocket?: WebSocketClass;
}

const ACK_SECONDS = 0.3; // well below the 3 s after which the server sends a push instead
const CONNECT_SECONDS = 10;
const QUIET_SECONDS = 20; // this time applies until the server has sent its `heartbeatSeconds`
const MAX_MISSED_HEARTBEATS = 3; // after this many heartbeat periods without a frame the connection counts as dead
const STEADY_SECONDS = 10; // after a longer connection the back-off starts again at its first value
const LONGEST_PAUSE_SECONDS = 15;

// After these close codes reconnecting would not help: the token is bad, expired or another user's, or newer sockets of
// the same user have replaced this one (two apps that both reconnected would close each other's sockets for ever).
const EXPIRED = 4401;
const FINAL_CODES = new Set([EXPIRED, 4403, 4409]);

interface Waiter {
  matches: (frame: Frame) => boolean;
  resolve: (frame: Frame) => void;
  reject: (error: Error) => void;
  timer: ReturnType<typeof setTimeout>;
}

/** Connects at once, and reconnects with back-off until `close` is called or the server closes it with a final code. */
export class WeeloSocket {
  private readonly url: string;
  private readonly WebSocket: WebSocketClass;
  private token: Token;
  private connection: WebSocketLike | null = null;
  private seq: number | null;
  private acknowledged: number;
  private ackTimer: ReturnType<typeof setTimeout> | undefined;
  private resumedAfter: number | null = null; // a gap was found after this seq, and the missing lines were requested
  private gapSeenAt = 0;
  private attempt = 0;
  private reconnectTimer: ReturnType<typeof setTimeout> | undefined;
  private greeted = false;
  private finished = false;
  private handled: Promise<void> = Promise.resolve();
  private leave: (reason: string) => void = () => undefined; // leaves the present connection
  private readonly waiters = new Set<Waiter>();

  /** How often the connection was lost. */
  reconnects = 0;

  constructor(private readonly options: SocketOptions) {
    const WebSocketOption = options.WebSocket ?? (globalThis.WebSocket as WebSocketClass | undefined);
    if (WebSocketOption === undefined) {
      throw new Error("there is no global WebSocket: install the package ws, and pass its WebSocket as an option");
    }
    this.WebSocket = WebSocketOption;
    this.url = `${checkedBaseUrl(options.baseUrl).replace(/^http/, "ws")}/api/v1/ws`;
    this.token = options.token;
    this.seq = options.after ?? null;
    this.acknowledged = options.after ?? 0;
    this.connect();
  }

  /** The newest `seq` that `onFrame` has handled. Store it, and pass it as `after` when your app starts again. */
  get lastSeq(): number {
    return this.seq ?? 0;
  }

  /** Resolve with the next matching frame that is handled from now on. Rejects after `within` seconds or at the end. */
  waitFor<Event extends Frame["event"]>(
    event: Event,
    matches: (frame: FrameNamed<Event>) => boolean = () => true,
    within = 60,
  ): Promise<FrameNamed<Event>> {
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        matches: (frame) => frame.event === event && matches(frame as FrameNamed<Event>),
        resolve: resolve as (frame: Frame) => void,
        reject,
        timer: setTimeout(() => {
          this.waiters.delete(waiter);
          reject(new Error(`${event} was not received within ${within} s`));
        }, within * 1000),
      };
      if (this.finished) this.settle(waiter, new Error("the socket has ended"));
      else this.waiters.add(waiter);
    });
  }

  /** Send a transporter's or driver's heartbeat with this position. Returns false while not connected. */
  heartbeat(latitude: number, longitude: number): boolean {
    return this.send({ op: "heartbeat", latitude, longitude });
  }

  /** Send a fresh token before the old one expires. Not needed if `token` is a function: it is called when reconnecting. */
  async renew(token: Token = this.token): Promise<boolean> {
    this.token = token;
    return this.send({ op: "auth", token: await currentToken(token) });
  }

  /** Acknowledge the handled frames, and close for good. */
  close(): void {
    if (this.finished) return;
    this.acknowledge();
    this.end("closed by the app", 1000);
  }

  // --- the connection -----------------------------------------------------------------------------------

  private connect(): void {
    const connection = new this.WebSocket(this.url);
    const began = Date.now();
    const seqBefore = this.seq;
    let lastSign = began;
    let quiet = QUIET_SECONDS;
    let gone = false;
    this.connection = connection;
    this.greeted = false;

    /** Leave this connection, at most once, without waiting for `onclose`, which a dead peer may never cause. */
    const leave = (reason: string, code?: number): void => {
      if (gone) return;
      gone = true;
      clearInterval(watch);
      if (this.connection === connection) this.connection = null;
      if (this.finished) return;
      // If the token has expired during the connection, a token function returns a new one, so reconnecting helps.
      const replaceable = code === EXPIRED && this.greeted && typeof this.token === "function";
      if (code !== undefined && FINAL_CODES.has(code) && !replaceable) return this.end(reason, code);
      // The frame `connected` alone does not end the back-off, because the server may accept a socket and close it at
      // once.
      const steady = Date.now() - began > STEADY_SECONDS * 1000 || this.seq !== seqBefore;
      this.attempt = steady ? 0 : this.attempt + 1;
      this.reconnects += 1;
      this.options.onState?.("disconnected", reason, code);
      this.reconnectTimer = setTimeout(() => this.connect(), backOff(this.attempt, LONGEST_PAUSE_SECONDS) * 1000);
    };
    this.leave = leave;
    const drop = (reason: string): void => {
      leave(reason);
      try {
        connection.close();
      } catch {
        // some WebSockets throw if they are not connected yet
      }
    };
    const watch = setInterval(() => {
      const silent = (Date.now() - lastSign) / 1000;
      if (!this.greeted && silent > CONNECT_SECONDS) drop("no connection in time");
      else if (silent > MAX_MISSED_HEARTBEATS * quiet) drop(`the server was silent for ${silent.toFixed()} s`);
      else if (silent > quiet) this.send({ op: "ping" });
    }, 1000);

    connection.onopen = () => {
      currentToken(this.token)
        .then((token) => {
          if (!gone) connection.send(JSON.stringify({ op: "auth", token } satisfies ClientMessage));
        })
        .catch((failed: unknown) => drop(`the token was not sent: ${String(failed)}`));
    };
    connection.onmessage = ({ data }: { data: unknown }) => {
      if (gone) return;
      lastSign = Date.now();
      const frame = parse(data);
      if (frame === null) return;
      if (frame.event === "connected") {
        quiet = frame.data.heartbeatSeconds || QUIET_SECONDS;
        this.greeted = true;
        this.options.onState?.("connected", "connected");
      }
      // Frames are handled one after another, because `onFrame` may wait. Frames of a lost connection are sent again
      // after `resume`.
      this.handled = this.handled.then(async () => {
        if (gone || this.finished) return;
        try {
          await this.take(frame);
        } catch (error) {
          this.end(`onFrame failed: ${String(error)}`);
        }
      });
    };
    connection.onclose = ({ code, reason }: { code: number; reason: string }) =>
      leave(`the connection was closed: ${code} ${reason}`.trim(), code);
    connection.onerror = () => undefined; // `onclose` follows
  }

  private end(reason: string, code?: number): void {
    this.finished = true;
    clearTimeout(this.reconnectTimer);
    clearTimeout(this.ackTimer);
    const connection = this.connection;
    this.leave(reason);
    connection?.close(1000);
    for (const waiter of this.waiters) this.settle(waiter, new Error(`the socket has ended: ${reason}`));
    this.options.onState?.("ended", reason, code);
  }

  // --- frames -------------------------------------------------------------------------------------------

  private async take(frame: Frame): Promise<void> {
    if (frame.event === "pong") return;
    const seq = "seq" in frame ? frame.seq : null;
    if (frame.event === "connected") {
      // Resume on the first connection, too, so that no event is lost between `connected` and the live stream.
      this.acknowledged = this.seq === null ? frame.data.seq : this.acknowledged;
      this.seq ??= frame.data.seq;
      this.resumedAfter = null;
      if (this.seq > this.acknowledged) this.acknowledgeSoon();
      this.resume();
    } else if (frame.event === "resync_required") {
      this.seq = frame.data.oldestSeq - 1;
      await this.options.onResync?.(frame.data.oldestSeq);
      this.resume();
    } else if (seq !== null && !this.isNext(seq)) {
      return;
    }
    await this.options.onFrame?.(frame);
    if (seq !== null) {
      this.seq = seq;
      this.acknowledgeSoon();
    }
    for (const waiter of this.waiters) if (waiter.matches(frame)) this.settle(waiter, frame);
  }

  /** Return whether this is the next line of the log. After a gap, request the missing lines once. */
  private isNext(seq: number): boolean {
    const last = this.lastSeq;
    if (seq <= last) return false;
    if (seq > last + 1) {
      if (this.resumedAfter !== last) {
        this.resumedAfter = last;
        this.gapSeenAt = seq;
        this.resume();
        return false; // the server sends this line again, after the missing ones
      }
      // A larger `seq` is a live event that arrived before the requested lines. Otherwise this is the first requested
      // line, and the lines before it were purged.
      if (seq > this.gapSeenAt) return false;
    }
    return true;
  }

  private settle(waiter: Waiter, by: Frame | Error): void {
    clearTimeout(waiter.timer);
    this.waiters.delete(waiter);
    if (by instanceof Error) waiter.reject(by);
    else waiter.resolve(by);
  }

  // --- to the server ------------------------------------------------------------------------------------

  private resume(): void {
    this.send({ op: "resume", after: this.lastSeq });
  }

  /** Acknowledge after ACK_SECONDS: an `ack` per frame of a long replay would exceed the server's message limit. */
  private acknowledgeSoon(): void {
    this.ackTimer ??= setTimeout(() => this.acknowledge(), ACK_SECONDS * 1000);
  }

  private acknowledge(): void {
    clearTimeout(this.ackTimer);
    this.ackTimer = undefined;
    if (this.lastSeq > this.acknowledged && this.send({ op: "ack", seq: this.lastSeq })) {
      this.acknowledged = this.lastSeq;
    }
  }

  private send(message: ClientMessage): boolean {
    if (this.connection === null || !this.greeted) return false;
    try {
      this.connection.send(JSON.stringify(message));
      return true;
    } catch {
      return false; // the connection is lost; `onclose` follows
    }
  }
}

/** Return the frame in a message, or null for anything else. */
function parse(data: unknown): Frame | null {
  try {
    const frame: unknown = JSON.parse(String(data));
    return typeof frame === "object" && frame !== null && "event" in frame ? ({ data: {}, ...frame } as Frame) : null;
  } catch {
    return null;
  }
}
