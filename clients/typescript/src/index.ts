export { WeeloClient, type ClientOptions, type Receipt } from "./client.js";
export { newKey, Rejected, StillPending, Unreachable, type Problem, type Token } from "./http.js";
export {
  WeeloSocket,
  type ClientMessage,
  type Frame,
  type FrameNamed,
  type SocketOptions,
  type WebSocketClass,
  type WebSocketLike,
} from "./socket.js";
export type { components, operations, paths } from "./openapi.js";
