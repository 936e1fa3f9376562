/**
 * Runs a trip on the system at WEELO_URL: a customer books, a transporter accepts, a driver drives to the end.
 *
 * The customer's connection is cut in the middle and refused for a while. The socket must reconnect and deliver every event
 * of the customer's log exactly once. Exits with 1 if it does not.
 */
import assert from "node:assert/strict";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { WebSocket } from "ws";
import { Rejected, WeeloClient, WeeloSocket, type Frame } from "../src/index.js";

function variable(name: string): string {
  const value = process.env[name];
  assert(value, `${name} is not set`);
  return value;
}

/** A TCP proxy whose connections can be cut. */
class Line {
  private readonly connections = new Set<Socket>();
  private isDown = false;
  refused = 0;

  private readonly server = createServer((client) => {
    if (this.isDown) {
      this.refused += 1;
      client.destroy();
      return;
    }
    const upstream = connect(Number(this.target.port), this.target.hostname);
    for (const [from, to] of [[client, upstream], [upstream, client]] as const) {
      this.connections.add(from);
      from.pipe(to);
      from.on("error", () => to.destroy());
      from.on("close", () => to.destroy());
    }
  });

  constructor(private readonly target: URL) {}

  async open(): Promise<string> {
    await new Promise<void>((resolve) => this.server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  cut(): void {
    this.isDown = true;
    for (const each of this.connections) each.destroy();
  }

  restore(): void {
    this.isDown = false;
  }

  close(): void {
    this.cut();
    this.server.close();
  }
}

async function until(condition: () => boolean, what: string): Promise<void> {
  for (const deadline = Date.now() + 30_000; !condition(); ) {
    assert(Date.now() < deadline, `not within 30 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const baseUrl = variable("WEELO_URL");
const driverId = variable("DRIVER_ID");
const customer = new WeeloClient({ baseUrl, token: variable("CUSTOMER_TOKEN"), wait: 20 });
const transporter = new WeeloClient({ baseUrl, token: variable("TRANSPORTER_TOKEN"), wait: 20 });
const driver = new WeeloClient({ baseUrl, token: variable("DRIVER_TOKEN"), wait: 20 });

// Register a fleet, and take it online.
const vehicleNumber = `KA05${Date.now().toString(36)}`;
const vehicle = await transporter.result(
  transporter.api.PUT("/api/v1/vehicles/{vehicleNumber}", {
    params: { path: { vehicleNumber } },
    body: { vehicleType: "Open", vehicleSubtype: "17 Feet" },
  }),
);
await transporter.result(
  transporter.api.PUT("/api/v1/drivers/{driverId}", {
    params: { path: { driverId } },
    body: { name: "A driver", phone: "+91 98100 00000" },
  }),
);
await transporter.result(transporter.api.PUT("/api/v1/transporter/availability", { body: { isAvailable: true } }));
await transporter.result(
  transporter.api.POST("/api/v1/transporter/heartbeat", { body: { latitude: 12.98, longitude: 77.6 } }),
);

// Open the sockets of customer and transporter.
const line = new Line(new URL(baseUrl));
const received: Frame[] = [];
const states: string[] = [];
const socket = new WeeloSocket({
  baseUrl: await line.open(),
  token: async () => variable("CUSTOMER_TOKEN"),
  after: 0,
  WebSocket,
  onFrame: (frame) => void received.push(frame),
  onState: (state) => void states.push(state),
});
const offers = new WeeloSocket({ baseUrl, token: variable("TRANSPORTER_TOKEN"), WebSocket });
await Promise.all([socket.waitFor("connected"), offers.waitFor("connected")]);

// The customer books. Two requests with the same key create one booking.
const body = {
  pickup: { latitude: 12.97, longitude: 77.59, address: "Bengaluru" },
  drop: { latitude: 13.08, longitude: 80.27, address: "Chennai" },
  vehicleType: "Open",
  vehicleSubtype: "17 Feet",
  trucksNeeded: 1,
};
const key = `journey-${Date.now()}`;
const offered = offers.waitFor("new_broadcast");
const confirmed = socket.waitFor("truck_confirmed");
const booking = await customer.result(
  customer.api.POST("/api/v1/bookings", { body, headers: { "Idempotency-Key": key } }),
);
const again = await customer.result(
  customer.api.POST("/api/v1/bookings", { body, headers: { "Idempotency-Key": key } }),
);
assert.equal(booking.id, again.id);
await assert.rejects(
  customer.result(customer.api.POST("/api/v1/bookings", { body })),
  (error) => error instanceof Rejected && error.code === "ORDER_ACTIVE_EXISTS" && error.status === 409,
);

const { id } = booking;
assert.equal((await offered).data.broadcastId, id);
const accepted = await transporter.result(
  transporter.api.POST("/api/v1/broadcasts/{id}/accept", {
    params: { path: { id } },
    body: { vehicleId: vehicle.id, driverId },
  }),
);
const trip = accepted.assignments[0];
assert(trip);
assert.equal((await confirmed).data.assignment.vehicleNumber, trip.vehicleNumber);

async function report(status: "en_route_pickup" | "at_pickup" | "in_transit" | "completed"): Promise<void> {
  assert(trip);
  const done = await driver.result(
    driver.api.PUT("/api/v1/trips/{tripId}/status", { params: { path: { tripId: trip.tripId } }, body: { status } }),
  );
  assert.equal(done.status, status);
}

/** Return the frames of the customer's log, as the API lists them. */
async function customersLog(): Promise<{ id: string; seq: number }[]> {
  const page = customer.api.GET("/api/v1/events", { params: { query: { after: 0, limit: 500 } } });
  return (await customer.result(page)).items;
}

await driver.result(driver.api.POST("/api/v1/assignments/{id}/accept", { params: { path: { id: trip.id } } }));
const completed = socket.waitFor("booking_completed");
line.cut();
await report("en_route_pickup");
await report("at_pickup");
await until(() => line.refused >= 2, "the socket tries to reconnect while the line is down");
assert((await customersLog()).at(-1)!.seq > socket.lastSeq, "events happen while the line is down");
line.restore();
await report("in_transit");
await report("completed");
assert.equal((await completed).data.status, "completed");

// Every line of the log was received once, in order.
const log = await customersLog();
await until(() => socket.lastSeq >= log.at(-1)!.seq, "the whole log");
const lines = received.flatMap((frame) => ("seq" in frame ? [frame] : []));
assert.deepEqual(lines.map((each) => each.seq), lines.map((_, index) => index + 1));
assert.deepEqual(lines.slice(0, log.length).map((each) => each.id), log.map((each) => each.id));
assert.deepEqual(states.slice(0, 2), ["connected", "disconnected"]);
assert.equal(states.at(-1), "connected");

socket.close();
offers.close();
line.close();
console.log(JSON.stringify({ status: "completed", lines: lines.length, reconnects: socket.reconnects }));
