import {
  decodePairRequest,
  decodePairResponse,
  encodePairRequest,
  encodePairResponse,
  type PairRequestMessage,
  type PairResponseMessage,
} from "./pair-message.js";
import {
  decodeRenewRequest,
  decodeRenewResponse,
  encodeRenewRequest,
  encodeRenewResponse,
  type RenewRequestMessage,
  type RenewResponseMessage,
} from "./renew-message.js";
import { decodeSessionRequest, encodeSessionRequest, type SessionRequestMessage } from "./session-request.js";
import {
  decodeSessionResponse,
  encodeSessionResponse,
  type SessionResponseMessage,
} from "./session-response.js";

/** A method in the shape of grpc-js's MethodDefinition. Deserialisers throw AntennaError `input-refused`. */
export interface ServiceMethod<Request, Response> {
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  readonly requestSerialize: (message: Request) => Buffer;
  readonly requestDeserialize: (bytes: Buffer) => Request;
  readonly responseSerialize: (message: Response) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => Response;
}

/** The revision of the protocol that this code speaks. */
export const protocolRevision = 1;

/** `antenna.v1.AgentService`, for grpc-js's `addService` and `makeClientConstructor`. */
export const agentService: {
  readonly pair: ServiceMethod<PairRequestMessage, PairResponseMessage>;
  readonly renew: ServiceMethod<RenewRequestMessage, RenewResponseMessage>;
  readonly session: ServiceMethod<SessionRequestMessage, SessionResponseMessage>;
} = {
  pair: {
    path: "/antenna.v1.AgentService/Pair",
    requestStream: false,
    responseStream: false,
    requestSerialize: (message) => asBuffer(encodePairRequest(message)),
    requestDeserialize: decodePairRequest,
    responseSerialize: (message) => asBuffer(encodePairResponse(message)),
    responseDeserialize: decodePairResponse,
  },
  renew: {
    path: "/antenna.v1.AgentService/Renew",
    requestStream: true,
    responseStream: true,
    requestSerialize: (message) => asBuffer(encodeRenewRequest(message)),
    requestDeserialize: decodeRenewRequest,
    responseSerialize: (message) => asBuffer(encodeRenewResponse(message)),
    responseDeserialize: decodeRenewResponse,
  },
  session: {
    path: "/antenna.v1.AgentService/Session",
    requestStream: true,
    responseStream: true,
    requestSerialize: (message) => asBuffer(encodeSessionRequest(message)),
    requestDeserialize: decodeSessionRequest,
    responseSerialize: (message) => asBuffer(encodeSessionResponse(message)),
    responseDeserialize: decodeSessionResponse,
  },
};

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
