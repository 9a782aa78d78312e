// Generated from antenna.proto by generate-protocol.mjs; do not edit.
import * as $protobuf from "protobufjs/minimal.js";
import Long = require("long");

/** Namespace antenna. */
export namespace antenna {

    /** Namespace v1. */
    namespace v1 {

        /**
         * Properties of a Version.
         * @deprecated Use antenna.v1.Version.$Properties instead.
         */
        interface IVersion extends antenna.v1.Version.$Properties {
        }

        /** Represents a Version. */
        class Version {

            /**
             * Constructs a new Version.
             * @param [properties] Properties to set
             */
            constructor(properties?: antenna.v1.Version.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** Version epoch. */
            epoch: number;

            /** Version sequence. */
            sequence: number;

            /**
             * Creates a new Version instance using the specified properties.
             * @param [properties] Properties to set
             * @returns Version instance
             */
            static create(properties: antenna.v1.Version.$Shape): antenna.v1.Version & antenna.v1.Version.$Shape;
            static create(properties?: antenna.v1.Version.$Properties): antenna.v1.Version;

            /**
             * Encodes the specified Version message. Does not implicitly {@link antenna.v1.Version.verify|verify} messages.
             * @param message Version message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: antenna.v1.Version.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a Version message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {antenna.v1.Version & antenna.v1.Version.$Shape} Version
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): antenna.v1.Version & antenna.v1.Version.$Shape;
        }

        namespace Version {

            /** Properties of a Version. */
            interface $Properties {

                /** Version epoch */
                epoch?: (number|null);

                /** Version sequence */
                sequence?: (number|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of a Version. */
            type $Shape = antenna.v1.Version.$Properties;
        }

        /**
         * Properties of a PairRequest.
         * @deprecated Use antenna.v1.PairRequest.$Properties instead.
         */
        interface IPairRequest extends antenna.v1.PairRequest.$Properties {
        }

        /** Represents a PairRequest. */
        class PairRequest {

            /**
             * Constructs a new PairRequest.
             * @param [properties] Properties to set
             */
            constructor(properties?: antenna.v1.PairRequest.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** PairRequest keyId. */
            keyId: string;

            /** PairRequest secret. */
            secret: Uint8Array;

            /** PairRequest certificateRequest. */
            certificateRequest: Uint8Array;

            /** PairRequest hostname. */
            hostname: string;

            /**
             * Creates a new PairRequest instance using the specified properties.
             * @param [properties] Properties to set
             * @returns PairRequest instance
             */
            static create(properties: antenna.v1.PairRequest.$Shape): antenna.v1.PairRequest & antenna.v1.PairRequest.$Shape;
            static create(properties?: antenna.v1.PairRequest.$Properties): antenna.v1.PairRequest;

            /**
             * Encodes the specified PairRequest message. Does not implicitly {@link antenna.v1.PairRequest.verify|verify} messages.
             * @param message PairRequest message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: antenna.v1.PairRequest.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a PairRequest message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {antenna.v1.PairRequest & antenna.v1.PairRequest.$Shape} PairRequest
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): antenna.v1.PairRequest & antenna.v1.PairRequest.$Shape;
        }

        namespace PairRequest {

            /** Properties of a PairRequest. */
            interface $Properties {

                /** PairRequest keyId */
                keyId?: (string|null);

                /** PairRequest secret */
                secret?: (Uint8Array|null);

                /** PairRequest certificateRequest */
                certificateRequest?: (Uint8Array|null);

                /** PairRequest hostname */
                hostname?: (string|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of a PairRequest. */
            type $Shape = antenna.v1.PairRequest.$Properties;
        }

        /**
         * Properties of a PairResponse.
         * @deprecated Use antenna.v1.PairResponse.$Properties instead.
         */
        interface IPairResponse extends antenna.v1.PairResponse.$Properties {
        }

        /** Represents a PairResponse. */
        class PairResponse {

            /**
             * Constructs a new PairResponse.
             * @param [properties] Properties to set
             */
            constructor(properties?: antenna.v1.PairResponse.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** PairResponse workload. */
            workload: string;

            /** PairResponse certificateChain. */
            certificateChain: Uint8Array[];

            /** PairResponse roots. */
            roots: Uint8Array[];

            /** PairResponse policyKeys. */
            policyKeys: antenna.v1.PolicyKey.$Properties[];

            /**
             * Creates a new PairResponse instance using the specified properties.
             * @param [properties] Properties to set
             * @returns PairResponse instance
             */
            static create(properties: antenna.v1.PairResponse.$Shape): antenna.v1.PairResponse & antenna.v1.PairResponse.$Shape;
            static create(properties?: antenna.v1.PairResponse.$Properties): antenna.v1.PairResponse;

            /**
             * Encodes the specified PairResponse message. Does not implicitly {@link antenna.v1.PairResponse.verify|verify} messages.
             * @param message PairResponse message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: antenna.v1.PairResponse.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a PairResponse message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {antenna.v1.PairResponse & antenna.v1.PairResponse.$Shape} PairResponse
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): antenna.v1.PairResponse & antenna.v1.PairResponse.$Shape;
        }

        namespace PairResponse {

            /** Properties of a PairResponse. */
            interface $Properties {

                /** PairResponse workload */
                workload?: (string|null);

                /** PairResponse certificateChain */
                certificateChain?: (Uint8Array[]|null);

                /** PairResponse roots */
                roots?: (Uint8Array[]|null);

                /** PairResponse policyKeys */
                policyKeys?: (antenna.v1.PolicyKey.$Properties[]|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of a PairResponse. */
            type $Shape = antenna.v1.PairResponse.$Properties;
        }

        /**
         * Properties of a PolicyKey.
         * @deprecated Use antenna.v1.PolicyKey.$Properties instead.
         */
        interface IPolicyKey extends antenna.v1.PolicyKey.$Properties {
        }

        /** Represents a PolicyKey. */
        class PolicyKey {

            /**
             * Constructs a new PolicyKey.
             * @param [properties] Properties to set
             */
            constructor(properties?: antenna.v1.PolicyKey.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** PolicyKey id. */
            id: Uint8Array;

            /** PolicyKey publicKey. */
            publicKey: Uint8Array;

            /** PolicyKey signedBy. */
            signedBy: Uint8Array;

            /** PolicyKey signature. */
            signature: Uint8Array;

            /**
             * Creates a new PolicyKey instance using the specified properties.
             * @param [properties] Properties to set
             * @returns PolicyKey instance
             */
            static create(properties: antenna.v1.PolicyKey.$Shape): antenna.v1.PolicyKey & antenna.v1.PolicyKey.$Shape;
            static create(properties?: antenna.v1.PolicyKey.$Properties): antenna.v1.PolicyKey;

            /**
             * Encodes the specified PolicyKey message. Does not implicitly {@link antenna.v1.PolicyKey.verify|verify} messages.
             * @param message PolicyKey message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: antenna.v1.PolicyKey.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a PolicyKey message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {antenna.v1.PolicyKey & antenna.v1.PolicyKey.$Shape} PolicyKey
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): antenna.v1.PolicyKey & antenna.v1.PolicyKey.$Shape;
        }

        namespace PolicyKey {

            /** Properties of a PolicyKey. */
            interface $Properties {

                /** PolicyKey id */
                id?: (Uint8Array|null);

                /** PolicyKey publicKey */
                publicKey?: (Uint8Array|null);

                /** PolicyKey signedBy */
                signedBy?: (Uint8Array|null);

                /** PolicyKey signature */
                signature?: (Uint8Array|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of a PolicyKey. */
            type $Shape = antenna.v1.PolicyKey.$Properties;
        }

        /**
         * Properties of a RenewRequest.
         * @deprecated Use antenna.v1.RenewRequest.$Properties instead.
         */
        interface IRenewRequest extends antenna.v1.RenewRequest.$Properties {
        }

        /** Represents a RenewRequest. */
        class RenewRequest {

            /**
             * Constructs a new RenewRequest.
             * @param [properties] Properties to set
             */
            constructor(properties?: antenna.v1.RenewRequest.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** RenewRequest start. */
            start?: (antenna.v1.RenewStart.$Properties|null);

            /** RenewRequest proof. */
            proof?: (antenna.v1.RenewProof.$Properties|null);

            /** RenewRequest message. */
            message?: ("start"|"proof");

            /**
             * Creates a new RenewRequest instance using the specified properties.
             * @param [properties] Properties to set
             * @returns RenewRequest instance
             */
            static create(properties: antenna.v1.RenewRequest.$Shape): antenna.v1.RenewRequest & antenna.v1.RenewRequest.$Shape;
            static create(properties?: antenna.v1.RenewRequest.$Properties): antenna.v1.RenewRequest;

            /**
             * Encodes the specified RenewRequest message. Does not implicitly {@link antenna.v1.RenewRequest.verify|verify} messages.
             * @param message RenewRequest message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: antenna.v1.RenewRequest.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a RenewRequest message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {antenna.v1.RenewRequest & antenna.v1.RenewRequest.$Shape} RenewRequest
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): antenna.v1.RenewRequest & antenna.v1.RenewRequest.$Shape;
        }

        namespace RenewRequest {

            /** Properties of a RenewRequest. */
            interface $Properties {

                /** RenewRequest start */
                start?: (antenna.v1.RenewStart.$Properties|null);

                /** RenewRequest proof */
                proof?: (antenna.v1.RenewProof.$Properties|null);

                /** RenewRequest message */
                message?: ("start"|"proof");

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Narrowed shape of a RenewRequest. */
            type $Shape = {
              start?: antenna.v1.RenewStart.$Shape|null;
              proof?: antenna.v1.RenewProof.$Shape|null;
              $unknowns?: Uint8Array[];
            } & (
              ({ message?: undefined; start?: null; proof?: null }|{ message?: "start"; start: antenna.v1.RenewStart.$Shape; proof?: null }|{ message?: "proof"; start?: null; proof: antenna.v1.RenewProof.$Shape })
            );
        }

        /**
         * Properties of a RenewStart.
         * @deprecated Use antenna.v1.RenewStart.$Properties instead.
         */
        interface IRenewStart extends antenna.v1.RenewStart.$Properties {
        }

        /** Represents a RenewStart. */
        class RenewStart {

            /**
             * Constructs a new RenewStart.
             * @param [properties] Properties to set
             */
            constructor(properties?: antenna.v1.RenewStart.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** RenewStart certificate. */
            certificate: Uint8Array;

            /** RenewStart certificateRequest. */
            certificateRequest: Uint8Array;

            /** RenewStart token. */
            token: Uint8Array;

            /**
             * Creates a new RenewStart instance using the specified properties.
             * @param [properties] Properties to set
             * @returns RenewStart instance
             */
            static create(properties: antenna.v1.RenewStart.$Shape): antenna.v1.RenewStart & antenna.v1.RenewStart.$Shape;
            static create(properties?: antenna.v1.RenewStart.$Properties): antenna.v1.RenewStart;

            /**
             * Encodes the specified RenewStart message. Does not implicitly {@link antenna.v1.RenewStart.verify|verify} messages.
             * @param message RenewStart message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: antenna.v1.RenewStart.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a RenewStart message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {antenna.v1.RenewStart & antenna.v1.RenewStart.$Shape} RenewStart
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): antenna.v1.RenewStart & antenna.v1.RenewStart.$Shape;
        }

        namespace RenewStart {

            /** Properties of a RenewStart. */
            interface $Properties {

                /** RenewStart certificate */
                certificate?: (Uint8Array|null);

                /** RenewStart certificateRequest */
                certificateRequest?: (Uint8Array|null);

                /** RenewStart token */
                token?: (Uint8Array|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of a RenewStart. */
            type $Shape = antenna.v1.RenewStart.$Properties;
        }

        /**
         * Properties of a RenewProof.
         * @deprecated Use antenna.v1.RenewProof.$Properties instead.
         */
        interface IRenewProof extends antenna.v1.RenewProof.$Properties {
        }

        /** Represents a RenewProof. */
        class RenewProof {

            /**
             * Constructs a new RenewProof.
             * @param [properties] Properties to set
             */
            constructor(properties?: antenna.v1.RenewProof.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** RenewProof signature. */
            signature: Uint8Array;

            /**
             * Creates a new RenewProof instance using the specified properties.
             * @param [properties] Properties to set
             * @returns RenewProof instance
             */
            static create(properties: antenna.v1.RenewProof.$Shape): antenna.v1.RenewProof & antenna.v1.RenewProof.$Shape;
            static create(properties?: antenna.v1.RenewProof.$Properties): antenna.v1.RenewProof;

            /**
             * Encodes the specified RenewProof message. Does not implicitly {@link antenna.v1.RenewProof.verify|verify} messages.
             * @param message RenewProof message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: antenna.v1.RenewProof.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a RenewProof message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {antenna.v1.RenewProof & antenna.v1.RenewProof.$Shape} RenewProof
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): antenna.v1.RenewProof & antenna.v1.RenewProof.$Shape;
        }

        namespace RenewProof {

            /** Properties of a RenewProof. */
            interface $Properties {

                /** RenewProof signature */
                signature?: (Uint8Array|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of a RenewProof. */
            type $Shape = antenna.v1.RenewProof.$Properties;
        }

        /**
         * Properties of a RenewResponse.
         * @deprecated Use antenna.v1.RenewResponse.$Properties instead.
         */
        interface IRenewResponse extends antenna.v1.RenewResponse.$Properties {
        }

        /** Represents a RenewResponse. */
        class RenewResponse {

            /**
             * Constructs a new RenewResponse.
             * @param [properties] Properties to set
             */
            constructor(properties?: antenna.v1.RenewResponse.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** RenewResponse challenge. */
            challenge?: (antenna.v1.RenewChallenge.$Properties|null);

            /** RenewResponse renewed. */
            renewed?: (antenna.v1.RenewResult.$Properties|null);

            /** RenewResponse message. */
            message?: ("challenge"|"renewed");

            /**
             * Creates a new RenewResponse instance using the specified properties.
             * @param [properties] Properties to set
             * @returns RenewResponse instance
             */
            static create(properties: antenna.v1.RenewResponse.$Shape): antenna.v1.RenewResponse & antenna.v1.RenewResponse.$Shape;
            static create(properties?: antenna.v1.RenewResponse.$Properties): antenna.v1.RenewResponse;

            /**
             * Encodes the specified RenewResponse message. Does not implicitly {@link antenna.v1.RenewResponse.verify|verify} messages.
             * @param message RenewResponse message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: antenna.v1.RenewResponse.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a RenewResponse message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {antenna.v1.RenewResponse & antenna.v1.RenewResponse.$Shape} RenewResponse
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): antenna.v1.RenewResponse & antenna.v1.RenewResponse.$Shape;
        }

        namespace RenewResponse {

            /** Properties of a RenewResponse. */
            interface $Properties {

                /** RenewResponse challenge */
                challenge?: (antenna.v1.RenewChallenge.$Properties|null);

                /** RenewResponse renewed */
                renewed?: (antenna.v1.RenewResult.$Properties|null);

                /** RenewResponse message */
                message?: ("challenge"|"renewed");

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Narrowed shape of a RenewResponse. */
            type $Shape = {
              challenge?: antenna.v1.RenewChallenge.$Shape|null;
              renewed?: antenna.v1.RenewResult.$Shape|null;
              $unknowns?: Uint8Array[];
            } & (
              ({ message?: undefined; challenge?: null; renewed?: null }|{ message?: "challenge"; challenge: antenna.v1.RenewChallenge.$Shape; renewed?: null }|{ message?: "renewed"; challenge?: null; renewed: antenna.v1.RenewResult.$Shape })
            );
        }

        /**
         * Properties of a RenewChallenge.
         * @deprecated Use antenna.v1.RenewChallenge.$Properties instead.
         */
        interface IRenewChallenge extends antenna.v1.RenewChallenge.$Properties {
        }

        /** Represents a RenewChallenge. */
        class RenewChallenge {

            /**
             * Constructs a new RenewChallenge.
             * @param [properties] Properties to set
             */
            constructor(properties?: antenna.v1.RenewChallenge.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** RenewChallenge nonce. */
            nonce: Uint8Array;

            /**
             * Creates a new RenewChallenge instance using the specified properties.
             * @param [properties] Properties to set
             * @returns RenewChallenge instance
             */
            static create(properties: antenna.v1.RenewChallenge.$Shape): antenna.v1.RenewChallenge & antenna.v1.RenewChallenge.$Shape;
            static create(properties?: antenna.v1.RenewChallenge.$Properties): antenna.v1.RenewChallenge;

            /**
             * Encodes the specified RenewChallenge message. Does not implicitly {@link antenna.v1.RenewChallenge.verify|verify} messages.
             * @param message RenewChallenge message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: antenna.v1.RenewChallenge.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a RenewChallenge message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {antenna.v1.RenewChallenge & antenna.v1.RenewChallenge.$Shape} RenewChallenge
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): antenna.v1.RenewChallenge & antenna.v1.RenewChallenge.$Shape;
        }

        namespace RenewChallenge {

            /** Properties of a RenewChallenge. */
            interface $Properties {

                /** RenewChallenge nonce */
                nonce?: (Uint8Array|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of a RenewChallenge. */
            type $Shape = antenna.v1.RenewChallenge.$Properties;
        }

        /**
         * Properties of a RenewResult.
         * @deprecated Use antenna.v1.RenewResult.$Properties instead.
         */
        interface IRenewResult extends antenna.v1.RenewResult.$Properties {
        }

        /** Represents a RenewResult. */
        class RenewResult {

            /**
             * Constructs a new RenewResult.
             * @param [properties] Properties to set
             */
            constructor(properties?: antenna.v1.RenewResult.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** RenewResult certificateChain. */
            certificateChain: Uint8Array[];

            /** RenewResult roots. */
            roots: Uint8Array[];

            /** RenewResult policyKeys. */
            policyKeys: antenna.v1.PolicyKey.$Properties[];

            /**
             * Creates a new RenewResult instance using the specified properties.
             * @param [properties] Properties to set
             * @returns RenewResult instance
             */
            static create(properties: antenna.v1.RenewResult.$Shape): antenna.v1.RenewResult & antenna.v1.RenewResult.$Shape;
            static create(properties?: antenna.v1.RenewResult.$Properties): antenna.v1.RenewResult;

            /**
             * Encodes the specified RenewResult message. Does not implicitly {@link antenna.v1.RenewResult.verify|verify} messages.
             * @param message RenewResult message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: antenna.v1.RenewResult.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a RenewResult message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {antenna.v1.RenewResult & antenna.v1.RenewResult.$Shape} RenewResult
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): antenna.v1.RenewResult & antenna.v1.RenewResult.$Shape;
        }

        namespace RenewResult {

            /** Properties of a RenewResult. */
            interface $Properties {

                /** RenewResult certificateChain */
                certificateChain?: (Uint8Array[]|null);

                /** RenewResult roots */
                roots?: (Uint8Array[]|null);

                /** RenewResult policyKeys */
                policyKeys?: (antenna.v1.PolicyKey.$Properties[]|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of a RenewResult. */
            type $Shape = antenna.v1.RenewResult.$Properties;
        }

        /**
         * Properties of a SessionRequest.
         * @deprecated Use antenna.v1.SessionRequest.$Properties instead.
         */
        interface ISessionRequest extends antenna.v1.SessionRequest.$Properties {
        }

        /** Represents a SessionRequest. */
        class SessionRequest {

            /**
             * Constructs a new SessionRequest.
             * @param [properties] Properties to set
             */
            constructor(properties?: antenna.v1.SessionRequest.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** SessionRequest hello. */
            hello?: (antenna.v1.Hello.$Properties|null);

            /** SessionRequest context. */
            context?: (antenna.v1.ContextUpdate.$Properties|null);

            /** SessionRequest status. */
            status?: (antenna.v1.StatusReport.$Properties|null);

            /** SessionRequest snapshotRequest. */
            snapshotRequest?: (antenna.v1.SnapshotRequest.$Properties|null);

            /** SessionRequest pong. */
            pong?: (antenna.v1.Pong.$Properties|null);

            /** SessionRequest preview. */
            preview?: (antenna.v1.PreviewReport.$Properties|null);

            /** SessionRequest event. */
            event?: (antenna.v1.AgentEvent.$Properties|null);

            /** SessionRequest credit. */
            credit?: (antenna.v1.Credit.$Properties|null);

            /** SessionRequest message. */
            message?: ("hello"|"context"|"status"|"snapshotRequest"|"pong"|"preview"|"event"|"credit");

            /**
             * Creates a new SessionRequest instance using the specified properties.
             * @param [properties] Properties to set
             * @returns SessionRequest instance
             */
            static create(properties: antenna.v1.SessionRequest.$Shape): antenna.v1.SessionRequest & antenna.v1.SessionRequest.$Shape;
            static create(properties?: antenna.v1.SessionRequest.$Properties): antenna.v1.SessionRequest;

            /**
             * Encodes the specified SessionRequest message. Does not implicitly {@link antenna.v1.SessionRequest.verify|verify} messages.
             * @param message SessionRequest message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: antenna.v1.SessionRequest.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a SessionRequest message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {antenna.v1.SessionRequest & antenna.v1.SessionRequest.$Shape} SessionRequest
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): antenna.v1.SessionRequest & antenna.v1.SessionRequest.$Shape;
        }

        namespace SessionRequest {

            /** Properties of a SessionRequest. */
            interface $Properties {

                /** SessionRequest hello */
                hello?: (antenna.v1.Hello.$Properties|null);

                /** SessionRequest context */
                context?: (antenna.v1.ContextUpdate.$Properties|null);

                /** SessionRequest status */
                status?: (antenna.v1.StatusReport.$Properties|null);

                /** SessionRequest snapshotRequest */
                snapshotRequest?: (antenna.v1.SnapshotRequest.$Properties|null);

                /** SessionRequest pong */
                pong?: (antenna.v1.Pong.$Properties|null);

                /** SessionRequest preview */
                preview?: (antenna.v1.PreviewReport.$Properties|null);

                /** SessionRequest event */
                event?: (antenna.v1.AgentEvent.$Properties|null);

                /** SessionRequest credit */
                credit?: (antenna.v1.Credit.$Properties|null);

                /** SessionRequest message */
                message?: ("hello"|"context"|"status"|"snapshotRequest"|"pong"|"preview"|"event"|"credit");

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Narrowed shape of a SessionRequest. */
            type $Shape = {
              hello?: antenna.v1.Hello.$Shape|null;
              context?: antenna.v1.ContextUpdate.$Shape|null;
              status?: antenna.v1.StatusReport.$Shape|null;
              snapshotRequest?: antenna.v1.SnapshotRequest.$Shape|null;
              pong?: antenna.v1.Pong.$Shape|null;
              preview?: antenna.v1.PreviewReport.$Shape|null;
              event?: antenna.v1.AgentEvent.$Shape|null;
              credit?: antenna.v1.Credit.$Shape|null;
              $unknowns?: Uint8Array[];
            } & (
              ({ message?: undefined; hello?: null; context?: null; status?: null; snapshotRequest?: null; pong?: null; preview?: null; event?: null; credit?: null }|{ message?: "hello"; hello: antenna.v1.Hello.$Shape; context?: null; status?: null; snapshotRequest?: null; pong?: null; preview?: null; event?: null; credit?: null }|{ message?: "context"; hello?: null; context: antenna.v1.ContextUpdate.$Shape; status?: null; snapshotRequest?: null; pong?: null; preview?: null; event?: null; credit?: null }|{ message?: "status"; hello?: null; context?: null; status: antenna.v1.StatusReport.$Shape; snapshotRequest?: null; pong?: null; preview?: null; event?: null; credit?: null }|{ message?: "snapshotRequest"; hello?: null; context?: null; status?: null; snapshotRequest: antenna.v1.SnapshotRequest.$Shape; pong?: null; preview?: null; event?: null; credit?: null }|{ message?: "pong"; hello?: null; context?: null; status?: null; snapshotRequest?: null; pong: antenna.v1.Pong.$Shape; preview?: null; event?: null; credit?: null }|{ message?: "preview"; hello?: null; context?: null; status?: null; snapshotRequest?: null; pong?: null; preview: antenna.v1.PreviewReport.$Shape; event?: null; credit?: null }|{ message?: "event"; hello?: null; context?: null; status?: null; snapshotRequest?: null; pong?: null; preview?: null; event: antenna.v1.AgentEvent.$Shape; credit?: null }|{ message?: "credit"; hello?: null; context?: null; status?: null; snapshotRequest?: null; pong?: null; preview?: null; event?: null; credit: antenna.v1.Credit.$Shape })
            );
        }

        /**
         * Properties of a Hello.
         * @deprecated Use antenna.v1.Hello.$Properties instead.
         */
        interface IHello extends antenna.v1.Hello.$Properties {
        }

        /** Represents a Hello. */
        class Hello {

            /**
             * Constructs a new Hello.
             * @param [properties] Properties to set
             */
            constructor(properties?: antenna.v1.Hello.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** Hello revision. */
            revision: number;

            /** Hello agentVersion. */
            agentVersion: string;

            /** Hello capabilities. */
            capabilities: string[];

            /** Hello token. */
            token: Uint8Array;

            /** Hello status. */
            status?: (antenna.v1.StatusReport.$Properties|null);

            /** Hello floor. */
            floor?: (antenna.v1.Version.$Properties|null);

            /** Hello credit. */
            credit: number;

            /**
             * Creates a new Hello instance using the specified properties.
             * @param [properties] Properties to set
             * @returns Hello instance
             */
            static create(properties: antenna.v1.Hello.$Shape): antenna.v1.Hello & antenna.v1.Hello.$Shape;
            static create(properties?: antenna.v1.Hello.$Properties): antenna.v1.Hello;

            /**
             * Encodes the specified Hello message. Does not implicitly {@link antenna.v1.Hello.verify|verify} messages.
             * @param message Hello message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: antenna.v1.Hello.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a Hello message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {antenna.v1.Hello & antenna.v1.Hello.$Shape} Hello
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): antenna.v1.Hello & antenna.v1.Hello.$Shape;
        }

        namespace Hello {

            /** Properties of a Hello. */
            interface $Properties {

                /** Hello revision */
                revision?: (number|null);

                /** Hello agentVersion */
                agentVersion?: (string|null);

                /** Hello capabilities */
                capabilities?: (string[]|null);

                /** Hello token */
                token?: (Uint8Array|null);

                /** Hello status */
                status?: (antenna.v1.StatusReport.$Properties|null);

                /** Hello floor */
                floor?: (antenna.v1.Version.$Properties|null);

                /** Hello credit */
                credit?: (number|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of a Hello. */
            type $Shape = antenna.v1.Hello.$Properties;
        }

        /**
         * Properties of a ContextUpdate.
         * @deprecated Use antenna.v1.ContextUpdate.$Properties instead.
         */
        interface IContextUpdate extends antenna.v1.ContextUpdate.$Properties {
        }

        /** Represents a ContextUpdate. */
        class ContextUpdate {

            /**
             * Constructs a new ContextUpdate.
             * @param [properties] Properties to set
             */
            constructor(properties?: antenna.v1.ContextUpdate.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** ContextUpdate sequence. */
            sequence: number;

            /** ContextUpdate full. */
            full: boolean;

            /** ContextUpdate host. */
            host?: (antenna.v1.HostFacts.$Properties|null);

            /** ContextUpdate addresses. */
            addresses?: (antenna.v1.Addresses.$Properties|null);

            /** ContextUpdate services. */
            services?: (antenna.v1.ListeningServices.$Properties|null);

            /** ContextUpdate cloud. */
            cloud?: (antenna.v1.CloudFacts.$Properties|null);

            /**
             * Creates a new ContextUpdate instance using the specified properties.
             * @param [properties] Properties to set
             * @returns ContextUpdate instance
             */
            static create(properties: antenna.v1.ContextUpdate.$Shape): antenna.v1.ContextUpdate & antenna.v1.ContextUpdate.$Shape;
            static create(properties?: antenna.v1.ContextUpdate.$Properties): antenna.v1.ContextUpdate;

            /**
             * Encodes the specified ContextUpdate message. Does not implicitly {@link antenna.v1.ContextUpdate.verify|verify} messages.
             * @param message ContextUpdate message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: antenna.v1.ContextUpdate.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a ContextUpdate message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {antenna.v1.ContextUpdate & antenna.v1.ContextUpdate.$Shape} ContextUpdate
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): antenna.v1.ContextUpdate & antenna.v1.ContextUpdate.$Shape;
        }

        namespace ContextUpdate {

            /** Properties of a ContextUpdate. */
            interface $Properties {

                /** ContextUpdate sequence */
                sequence?: (number|null);

                /** ContextUpdate full */
                full?: (boolean|null);

                /** ContextUpdate host */
                host?: (antenna.v1.HostFacts.$Properties|null);

                /** ContextUpdate addresses */
                addresses?: (antenna.v1.Addresses.$Properties|null);

                /** ContextUpdate services */
                services?: (antenna.v1.ListeningServices.$Properties|null);

                /** ContextUpdate cloud */
                cloud?: (antenna.v1.CloudFacts.$Properties|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of a ContextUpdate. */
            type $Shape = antenna.v1.ContextUpdate.$Properties;
        }

        /**
         * Properties of a HostFacts.
         * @deprecated Use antenna.v1.HostFacts.$Properties instead.
         */
        interface IHostFacts extends antenna.v1.HostFacts.$Properties {
        }

        /** Represents a HostFacts. */
        class HostFacts {

            /**
             * Constructs a new HostFacts.
             * @param [properties] Properties to set
             */
            constructor(properties?: antenna.v1.HostFacts.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** HostFacts hostname. */
            hostname: string;

            /** HostFacts osName. */
            osName: string;

            /** HostFacts osVersion. */
            osVersion: string;

            /** HostFacts kernel. */
            kernel: string;

            /** HostFacts arch. */
            arch: string;

            /** HostFacts virtualization. */
            virtualization: string;

            /**
             * Creates a new HostFacts instance using the specified properties.
             * @param [properties] Properties to set
             * @returns HostFacts instance
             */
            static create(properties: antenna.v1.HostFacts.$Shape): antenna.v1.HostFacts & antenna.v1.HostFacts.$Shape;
            static create(properties?: antenna.v1.HostFacts.$Properties): antenna.v1.HostFacts;

            /**
             * Encodes the specified HostFacts message. Does not implicitly {@link antenna.v1.HostFacts.verify|verify} messages.
             * @param message HostFacts message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: antenna.v1.HostFacts.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a HostFacts message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {antenna.v1.HostFacts & antenna.v1.HostFacts.$Shape} HostFacts
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): antenna.v1.HostFacts & antenna.v1.HostFacts.$Shape;
        }

        namespace HostFacts {

            /** Properties of a HostFacts. */
            interface $Properties {

                /** HostFacts hostname */
                hostname?: (string|null);

                /** HostFacts osName */
                osName?: (string|null);

                /** HostFacts osVersion */
                osVersion?: (string|null);

                /** HostFacts kernel */
                kernel?: (string|null);

                /** HostFacts arch */
                arch?: (string|null);

                /** HostFacts virtualization */
                virtualization?: (string|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of a HostFacts. */
            type $Shape = antenna.v1.HostFacts.$Properties;
        }

        /**
         * Properties of an Addresses.
         * @deprecated Use antenna.v1.Addresses.$Properties instead.
         */
        interface IAddresses extends antenna.v1.Addresses.$Properties {
        }

        /** Represents an Addresses. */
        class Addresses {

            /**
             * Constructs a new Addresses.
             * @param [properties] Properties to set
             */
            constructor(properties?: antenna.v1.Addresses.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** Addresses addresses. */
            addresses: antenna.v1.WorkloadAddress.$Properties[];

            /**
             * Creates a new Addresses instance using the specified properties.
             * @param [properties] Properties to set
             * @returns Addresses instance
             */
            static create(properties: antenna.v1.Addresses.$Shape): antenna.v1.Addresses & antenna.v1.Addresses.$Shape;
            static create(properties?: antenna.v1.Addresses.$Properties): antenna.v1.Addresses;

            /**
             * Encodes the specified Addresses message. Does not implicitly {@link antenna.v1.Addresses.verify|verify} messages.
             * @param message Addresses message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: antenna.v1.Addresses.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes an Addresses message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {antenna.v1.Addresses & antenna.v1.Addresses.$Shape} Addresses
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): antenna.v1.Addresses & antenna.v1.Addresses.$Shape;
        }

        namespace Addresses {

            /** Properties of an Addresses. */
            interface $Properties {

                /** Addresses addresses */
                addresses?: (antenna.v1.WorkloadAddress.$Properties[]|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of an Addresses. */
            type $Shape = antenna.v1.Addresses.$Properties;
        }

        /**
         * Properties of a WorkloadAddress.
         * @deprecated Use antenna.v1.WorkloadAddress.$Properties instead.
         */
        interface IWorkloadAddress extends antenna.v1.WorkloadAddress.$Properties {
        }

        /** Represents a WorkloadAddress. */
        class WorkloadAddress {

            /**
             * Constructs a new WorkloadAddress.
             * @param [properties] Properties to set
             */
            constructor(properties?: antenna.v1.WorkloadAddress.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** WorkloadAddress address. */
            address: Uint8Array;

            /** WorkloadAddress prefix. */
            prefix: number;

            /** WorkloadAddress interface. */
            interface: string;

            /** WorkloadAddress scope. */
            scope: antenna.v1.AddressScope;

            /**
             * Creates a new WorkloadAddress instance using the specified properties.
             * @param [properties] Properties to set
             * @returns WorkloadAddress instance
             */
            static create(properties: antenna.v1.WorkloadAddress.$Shape): antenna.v1.WorkloadAddress & antenna.v1.WorkloadAddress.$Shape;
            static create(properties?: antenna.v1.WorkloadAddress.$Properties): antenna.v1.WorkloadAddress;

            /**
             * Encodes the specified WorkloadAddress message. Does not implicitly {@link antenna.v1.WorkloadAddress.verify|verify} messages.
             * @param message WorkloadAddress message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: antenna.v1.WorkloadAddress.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a WorkloadAddress message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {antenna.v1.WorkloadAddress & antenna.v1.WorkloadAddress.$Shape} WorkloadAddress
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): antenna.v1.WorkloadAddress & antenna.v1.WorkloadAddress.$Shape;
        }

        namespace WorkloadAddress {

            /** Properties of a WorkloadAddress. */
            interface $Properties {

                /** WorkloadAddress address */
                address?: (Uint8Array|null);

                /** WorkloadAddress prefix */
                prefix?: (number|null);

                /** WorkloadAddress interface */
                "interface"?: (string|null);

                /** WorkloadAddress scope */
                scope?: (antenna.v1.AddressScope|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of a WorkloadAddress. */
            type $Shape = antenna.v1.WorkloadAddress.$Properties;
        }

        /** AddressScope enum. */
        enum AddressScope {

            /** ADDRESS_SCOPE_UNSPECIFIED value */
            ADDRESS_SCOPE_UNSPECIFIED = 0,

            /** ADDRESS_SCOPE_ROUTABLE value */
            ADDRESS_SCOPE_ROUTABLE = 1,

            /** ADDRESS_SCOPE_HOST value */
            ADDRESS_SCOPE_HOST = 2,

            /** ADDRESS_SCOPE_VIRTUAL value */
            ADDRESS_SCOPE_VIRTUAL = 3
        }

        /**
         * Properties of a ListeningServices.
         * @deprecated Use antenna.v1.ListeningServices.$Properties instead.
         */
        interface IListeningServices extends antenna.v1.ListeningServices.$Properties {
        }

        /** Represents a ListeningServices. */
        class ListeningServices {

            /**
             * Constructs a new ListeningServices.
             * @param [properties] Properties to set
             */
            constructor(properties?: antenna.v1.ListeningServices.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** ListeningServices services. */
            services: antenna.v1.ListeningService.$Properties[];

            /**
             * Creates a new ListeningServices instance using the specified properties.
             * @param [properties] Properties to set
             * @returns ListeningServices instance
             */
            static create(properties: antenna.v1.ListeningServices.$Shape): antenna.v1.ListeningServices & antenna.v1.ListeningServices.$Shape;
            static create(properties?: antenna.v1.ListeningServices.$Properties): antenna.v1.ListeningServices;

            /**
             * Encodes the specified ListeningServices message. Does not implicitly {@link antenna.v1.ListeningServices.verify|verify} messages.
             * @param message ListeningServices message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: antenna.v1.ListeningServices.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a ListeningServices message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {antenna.v1.ListeningServices & antenna.v1.ListeningServices.$Shape} ListeningServices
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): antenna.v1.ListeningServices & antenna.v1.ListeningServices.$Shape;
        }

        namespace ListeningServices {

            /** Properties of a ListeningServices. */
            interface $Properties {

                /** ListeningServices services */
                services?: (antenna.v1.ListeningService.$Properties[]|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of a ListeningServices. */
            type $Shape = antenna.v1.ListeningServices.$Properties;
        }

        /**
         * Properties of a ListeningService.
         * @deprecated Use antenna.v1.ListeningService.$Properties instead.
         */
        interface IListeningService extends antenna.v1.ListeningService.$Properties {
        }

        /** Represents a ListeningService. */
        class ListeningService {

            /**
             * Constructs a new ListeningService.
             * @param [properties] Properties to set
             */
            constructor(properties?: antenna.v1.ListeningService.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** ListeningService protocol. */
            protocol: number;

            /** ListeningService address. */
            address: Uint8Array;

            /** ListeningService port. */
            port: number;

            /** ListeningService process. */
            process: string;

            /** ListeningService user. */
            user: string;

            /**
             * Creates a new ListeningService instance using the specified properties.
             * @param [properties] Properties to set
             * @returns ListeningService instance
             */
            static create(properties: antenna.v1.ListeningService.$Shape): antenna.v1.ListeningService & antenna.v1.ListeningService.$Shape;
            static create(properties?: antenna.v1.ListeningService.$Properties): antenna.v1.ListeningService;

            /**
             * Encodes the specified ListeningService message. Does not implicitly {@link antenna.v1.ListeningService.verify|verify} messages.
             * @param message ListeningService message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: antenna.v1.ListeningService.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a ListeningService message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {antenna.v1.ListeningService & antenna.v1.ListeningService.$Shape} ListeningService
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): antenna.v1.ListeningService & antenna.v1.ListeningService.$Shape;
        }

        namespace ListeningService {

            /** Properties of a ListeningService. */
            interface $Properties {

                /** ListeningService protocol */
                protocol?: (number|null);

                /** ListeningService address */
                address?: (Uint8Array|null);

                /** ListeningService port */
                port?: (number|null);

                /** ListeningService process */
                process?: (string|null);

                /** ListeningService user */
                user?: (string|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of a ListeningService. */
            type $Shape = antenna.v1.ListeningService.$Properties;
        }

        /**
         * Properties of a CloudFacts.
         * @deprecated Use antenna.v1.CloudFacts.$Properties instead.
         */
        interface ICloudFacts extends antenna.v1.CloudFacts.$Properties {
        }

        /** Represents a CloudFacts. */
        class CloudFacts {

            /**
             * Constructs a new CloudFacts.
             * @param [properties] Properties to set
             */
            constructor(properties?: antenna.v1.CloudFacts.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** CloudFacts provider. */
            provider: string;

            /** CloudFacts instance. */
            instance: string;

            /** CloudFacts region. */
            region: string;

            /** CloudFacts zone. */
            zone: string;

            /** CloudFacts tags. */
            tags: { [k: string]: string };

            /**
             * Creates a new CloudFacts instance using the specified properties.
             * @param [properties] Properties to set
             * @returns CloudFacts instance
             */
            static create(properties: antenna.v1.CloudFacts.$Shape): antenna.v1.CloudFacts & antenna.v1.CloudFacts.$Shape;
            static create(properties?: antenna.v1.CloudFacts.$Properties): antenna.v1.CloudFacts;

            /**
             * Encodes the specified CloudFacts message. Does not implicitly {@link antenna.v1.CloudFacts.verify|verify} messages.
             * @param message CloudFacts message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: antenna.v1.CloudFacts.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a CloudFacts message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {antenna.v1.CloudFacts & antenna.v1.CloudFacts.$Shape} CloudFacts
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): antenna.v1.CloudFacts & antenna.v1.CloudFacts.$Shape;
        }

        namespace CloudFacts {

            /** Properties of a CloudFacts. */
            interface $Properties {

                /** CloudFacts provider */
                provider?: (string|null);

                /** CloudFacts instance */
                instance?: (string|null);

                /** CloudFacts region */
                region?: (string|null);

                /** CloudFacts zone */
                zone?: (string|null);

                /** CloudFacts tags */
                tags?: ({ [k: string]: string }|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of a CloudFacts. */
            type $Shape = antenna.v1.CloudFacts.$Properties;
        }

        /**
         * Properties of a StatusReport.
         * @deprecated Use antenna.v1.StatusReport.$Properties instead.
         */
        interface IStatusReport extends antenna.v1.StatusReport.$Properties {
        }

        /** Represents a StatusReport. */
        class StatusReport {

            /**
             * Constructs a new StatusReport.
             * @param [properties] Properties to set
             */
            constructor(properties?: antenna.v1.StatusReport.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** StatusReport state. */
            state: string;

            /** StatusReport mode. */
            mode: string;

            /** StatusReport applied. */
            applied?: (antenna.v1.Version.$Properties|null);

            /** StatusReport appliedDigest. */
            appliedDigest: string;

            /** StatusReport problems. */
            problems: antenna.v1.StandingProblem.$Properties[];

            /** StatusReport refused. */
            refused?: (antenna.v1.OfferOutcome.$Properties|null);

            /**
             * Creates a new StatusReport instance using the specified properties.
             * @param [properties] Properties to set
             * @returns StatusReport instance
             */
            static create(properties: antenna.v1.StatusReport.$Shape): antenna.v1.StatusReport & antenna.v1.StatusReport.$Shape;
            static create(properties?: antenna.v1.StatusReport.$Properties): antenna.v1.StatusReport;

            /**
             * Encodes the specified StatusReport message. Does not implicitly {@link antenna.v1.StatusReport.verify|verify} messages.
             * @param message StatusReport message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: antenna.v1.StatusReport.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a StatusReport message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {antenna.v1.StatusReport & antenna.v1.StatusReport.$Shape} StatusReport
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): antenna.v1.StatusReport & antenna.v1.StatusReport.$Shape;
        }

        namespace StatusReport {

            /** Properties of a StatusReport. */
            interface $Properties {

                /** StatusReport state */
                state?: (string|null);

                /** StatusReport mode */
                mode?: (string|null);

                /** StatusReport applied */
                applied?: (antenna.v1.Version.$Properties|null);

                /** StatusReport appliedDigest */
                appliedDigest?: (string|null);

                /** StatusReport problems */
                problems?: (antenna.v1.StandingProblem.$Properties[]|null);

                /** StatusReport refused */
                refused?: (antenna.v1.OfferOutcome.$Properties|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of a StatusReport. */
            type $Shape = antenna.v1.StatusReport.$Properties;
        }

        /**
         * Properties of a StandingProblem.
         * @deprecated Use antenna.v1.StandingProblem.$Properties instead.
         */
        interface IStandingProblem extends antenna.v1.StandingProblem.$Properties {
        }

        /** Represents a StandingProblem. */
        class StandingProblem {

            /**
             * Constructs a new StandingProblem.
             * @param [properties] Properties to set
             */
            constructor(properties?: antenna.v1.StandingProblem.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** StandingProblem code. */
            code: string;

            /** StandingProblem message. */
            message: string;

            /**
             * Creates a new StandingProblem instance using the specified properties.
             * @param [properties] Properties to set
             * @returns StandingProblem instance
             */
            static create(properties: antenna.v1.StandingProblem.$Shape): antenna.v1.StandingProblem & antenna.v1.StandingProblem.$Shape;
            static create(properties?: antenna.v1.StandingProblem.$Properties): antenna.v1.StandingProblem;

            /**
             * Encodes the specified StandingProblem message. Does not implicitly {@link antenna.v1.StandingProblem.verify|verify} messages.
             * @param message StandingProblem message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: antenna.v1.StandingProblem.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a StandingProblem message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {antenna.v1.StandingProblem & antenna.v1.StandingProblem.$Shape} StandingProblem
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): antenna.v1.StandingProblem & antenna.v1.StandingProblem.$Shape;
        }

        namespace StandingProblem {

            /** Properties of a StandingProblem. */
            interface $Properties {

                /** StandingProblem code */
                code?: (string|null);

                /** StandingProblem message */
                message?: (string|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of a StandingProblem. */
            type $Shape = antenna.v1.StandingProblem.$Properties;
        }

        /**
         * Properties of an OfferOutcome.
         * @deprecated Use antenna.v1.OfferOutcome.$Properties instead.
         */
        interface IOfferOutcome extends antenna.v1.OfferOutcome.$Properties {
        }

        /** Represents an OfferOutcome. */
        class OfferOutcome {

            /**
             * Constructs a new OfferOutcome.
             * @param [properties] Properties to set
             */
            constructor(properties?: antenna.v1.OfferOutcome.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** OfferOutcome version. */
            version?: (antenna.v1.Version.$Properties|null);

            /** OfferOutcome result. */
            result: antenna.v1.OfferResult;

            /** OfferOutcome reason. */
            reason: string;

            /**
             * Creates a new OfferOutcome instance using the specified properties.
             * @param [properties] Properties to set
             * @returns OfferOutcome instance
             */
            static create(properties: antenna.v1.OfferOutcome.$Shape): antenna.v1.OfferOutcome & antenna.v1.OfferOutcome.$Shape;
            static create(properties?: antenna.v1.OfferOutcome.$Properties): antenna.v1.OfferOutcome;

            /**
             * Encodes the specified OfferOutcome message. Does not implicitly {@link antenna.v1.OfferOutcome.verify|verify} messages.
             * @param message OfferOutcome message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: antenna.v1.OfferOutcome.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes an OfferOutcome message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {antenna.v1.OfferOutcome & antenna.v1.OfferOutcome.$Shape} OfferOutcome
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): antenna.v1.OfferOutcome & antenna.v1.OfferOutcome.$Shape;
        }

        namespace OfferOutcome {

            /** Properties of an OfferOutcome. */
            interface $Properties {

                /** OfferOutcome version */
                version?: (antenna.v1.Version.$Properties|null);

                /** OfferOutcome result */
                result?: (antenna.v1.OfferResult|null);

                /** OfferOutcome reason */
                reason?: (string|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of an OfferOutcome. */
            type $Shape = antenna.v1.OfferOutcome.$Properties;
        }

        /** OfferResult enum. */
        enum OfferResult {

            /** OFFER_RESULT_UNSPECIFIED value */
            OFFER_RESULT_UNSPECIFIED = 0,

            /** OFFER_RESULT_REFUSED value */
            OFFER_RESULT_REFUSED = 1,

            /** OFFER_RESULT_ROLLED_BACK value */
            OFFER_RESULT_ROLLED_BACK = 2,

            /** OFFER_RESULT_INTERRUPTED value */
            OFFER_RESULT_INTERRUPTED = 3
        }

        /**
         * Properties of a SnapshotRequest.
         * @deprecated Use antenna.v1.SnapshotRequest.$Properties instead.
         */
        interface ISnapshotRequest extends antenna.v1.SnapshotRequest.$Properties {
        }

        /** Represents a SnapshotRequest. */
        class SnapshotRequest {

            /**
             * Constructs a new SnapshotRequest.
             * @param [properties] Properties to set
             */
            constructor(properties?: antenna.v1.SnapshotRequest.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** SnapshotRequest reason. */
            reason: string;

            /**
             * Creates a new SnapshotRequest instance using the specified properties.
             * @param [properties] Properties to set
             * @returns SnapshotRequest instance
             */
            static create(properties: antenna.v1.SnapshotRequest.$Shape): antenna.v1.SnapshotRequest & antenna.v1.SnapshotRequest.$Shape;
            static create(properties?: antenna.v1.SnapshotRequest.$Properties): antenna.v1.SnapshotRequest;

            /**
             * Encodes the specified SnapshotRequest message. Does not implicitly {@link antenna.v1.SnapshotRequest.verify|verify} messages.
             * @param message SnapshotRequest message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: antenna.v1.SnapshotRequest.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a SnapshotRequest message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {antenna.v1.SnapshotRequest & antenna.v1.SnapshotRequest.$Shape} SnapshotRequest
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): antenna.v1.SnapshotRequest & antenna.v1.SnapshotRequest.$Shape;
        }

        namespace SnapshotRequest {

            /** Properties of a SnapshotRequest. */
            interface $Properties {

                /** SnapshotRequest reason */
                reason?: (string|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of a SnapshotRequest. */
            type $Shape = antenna.v1.SnapshotRequest.$Properties;
        }

        /**
         * Properties of a Pong.
         * @deprecated Use antenna.v1.Pong.$Properties instead.
         */
        interface IPong extends antenna.v1.Pong.$Properties {
        }

        /** Represents a Pong. */
        class Pong {

            /**
             * Constructs a new Pong.
             * @param [properties] Properties to set
             */
            constructor(properties?: antenna.v1.Pong.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** Pong nonce. */
            nonce: Uint8Array;

            /**
             * Creates a new Pong instance using the specified properties.
             * @param [properties] Properties to set
             * @returns Pong instance
             */
            static create(properties: antenna.v1.Pong.$Shape): antenna.v1.Pong & antenna.v1.Pong.$Shape;
            static create(properties?: antenna.v1.Pong.$Properties): antenna.v1.Pong;

            /**
             * Encodes the specified Pong message. Does not implicitly {@link antenna.v1.Pong.verify|verify} messages.
             * @param message Pong message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: antenna.v1.Pong.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a Pong message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {antenna.v1.Pong & antenna.v1.Pong.$Shape} Pong
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): antenna.v1.Pong & antenna.v1.Pong.$Shape;
        }

        namespace Pong {

            /** Properties of a Pong. */
            interface $Properties {

                /** Pong nonce */
                nonce?: (Uint8Array|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of a Pong. */
            type $Shape = antenna.v1.Pong.$Properties;
        }

        /**
         * Properties of an AgentEvent.
         * @deprecated Use antenna.v1.AgentEvent.$Properties instead.
         */
        interface IAgentEvent extends antenna.v1.AgentEvent.$Properties {
        }

        /** Represents an AgentEvent. */
        class AgentEvent {

            /**
             * Constructs a new AgentEvent.
             * @param [properties] Properties to set
             */
            constructor(properties?: antenna.v1.AgentEvent.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** AgentEvent type. */
            type: string;

            /** AgentEvent time. */
            time?: (google.protobuf.Timestamp.$Properties|null);

            /** AgentEvent message. */
            message: string;

            /**
             * Creates a new AgentEvent instance using the specified properties.
             * @param [properties] Properties to set
             * @returns AgentEvent instance
             */
            static create(properties: antenna.v1.AgentEvent.$Shape): antenna.v1.AgentEvent & antenna.v1.AgentEvent.$Shape;
            static create(properties?: antenna.v1.AgentEvent.$Properties): antenna.v1.AgentEvent;

            /**
             * Encodes the specified AgentEvent message. Does not implicitly {@link antenna.v1.AgentEvent.verify|verify} messages.
             * @param message AgentEvent message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: antenna.v1.AgentEvent.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes an AgentEvent message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {antenna.v1.AgentEvent & antenna.v1.AgentEvent.$Shape} AgentEvent
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): antenna.v1.AgentEvent & antenna.v1.AgentEvent.$Shape;
        }

        namespace AgentEvent {

            /** Properties of an AgentEvent. */
            interface $Properties {

                /** AgentEvent type */
                type?: (string|null);

                /** AgentEvent time */
                time?: (google.protobuf.Timestamp.$Properties|null);

                /** AgentEvent message */
                message?: (string|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of an AgentEvent. */
            type $Shape = antenna.v1.AgentEvent.$Properties;
        }

        /**
         * Properties of a Credit.
         * @deprecated Use antenna.v1.Credit.$Properties instead.
         */
        interface ICredit extends antenna.v1.Credit.$Properties {
        }

        /** Represents a Credit. */
        class Credit {

            /**
             * Constructs a new Credit.
             * @param [properties] Properties to set
             */
            constructor(properties?: antenna.v1.Credit.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** Credit chunks. */
            chunks: number;

            /**
             * Creates a new Credit instance using the specified properties.
             * @param [properties] Properties to set
             * @returns Credit instance
             */
            static create(properties: antenna.v1.Credit.$Shape): antenna.v1.Credit & antenna.v1.Credit.$Shape;
            static create(properties?: antenna.v1.Credit.$Properties): antenna.v1.Credit;

            /**
             * Encodes the specified Credit message. Does not implicitly {@link antenna.v1.Credit.verify|verify} messages.
             * @param message Credit message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: antenna.v1.Credit.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a Credit message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {antenna.v1.Credit & antenna.v1.Credit.$Shape} Credit
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): antenna.v1.Credit & antenna.v1.Credit.$Shape;
        }

        namespace Credit {

            /** Properties of a Credit. */
            interface $Properties {

                /** Credit chunks */
                chunks?: (number|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of a Credit. */
            type $Shape = antenna.v1.Credit.$Properties;
        }

        /**
         * Properties of a SessionResponse.
         * @deprecated Use antenna.v1.SessionResponse.$Properties instead.
         */
        interface ISessionResponse extends antenna.v1.SessionResponse.$Properties {
        }

        /** Represents a SessionResponse. */
        class SessionResponse {

            /**
             * Constructs a new SessionResponse.
             * @param [properties] Properties to set
             */
            constructor(properties?: antenna.v1.SessionResponse.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** SessionResponse welcome. */
            welcome?: (antenna.v1.Welcome.$Properties|null);

            /** SessionResponse policy. */
            policy?: (antenna.v1.PolicyUpdate.$Properties|null);

            /** SessionResponse ping. */
            ping?: (antenna.v1.Ping.$Properties|null);

            /** SessionResponse preview. */
            preview?: (antenna.v1.PreviewRequest.$Properties|null);

            /** SessionResponse trust. */
            trust?: (antenna.v1.TrustUpdate.$Properties|null);

            /** SessionResponse message. */
            message?: ("welcome"|"policy"|"ping"|"preview"|"trust");

            /**
             * Creates a new SessionResponse instance using the specified properties.
             * @param [properties] Properties to set
             * @returns SessionResponse instance
             */
            static create(properties: antenna.v1.SessionResponse.$Shape): antenna.v1.SessionResponse & antenna.v1.SessionResponse.$Shape;
            static create(properties?: antenna.v1.SessionResponse.$Properties): antenna.v1.SessionResponse;

            /**
             * Encodes the specified SessionResponse message. Does not implicitly {@link antenna.v1.SessionResponse.verify|verify} messages.
             * @param message SessionResponse message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: antenna.v1.SessionResponse.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a SessionResponse message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {antenna.v1.SessionResponse & antenna.v1.SessionResponse.$Shape} SessionResponse
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): antenna.v1.SessionResponse & antenna.v1.SessionResponse.$Shape;
        }

        namespace SessionResponse {

            /** Properties of a SessionResponse. */
            interface $Properties {

                /** SessionResponse welcome */
                welcome?: (antenna.v1.Welcome.$Properties|null);

                /** SessionResponse policy */
                policy?: (antenna.v1.PolicyUpdate.$Properties|null);

                /** SessionResponse ping */
                ping?: (antenna.v1.Ping.$Properties|null);

                /** SessionResponse preview */
                preview?: (antenna.v1.PreviewRequest.$Properties|null);

                /** SessionResponse trust */
                trust?: (antenna.v1.TrustUpdate.$Properties|null);

                /** SessionResponse message */
                message?: ("welcome"|"policy"|"ping"|"preview"|"trust");

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Narrowed shape of a SessionResponse. */
            type $Shape = {
              welcome?: antenna.v1.Welcome.$Shape|null;
              policy?: antenna.v1.PolicyUpdate.$Shape|null;
              ping?: antenna.v1.Ping.$Shape|null;
              preview?: antenna.v1.PreviewRequest.$Shape|null;
              trust?: antenna.v1.TrustUpdate.$Shape|null;
              $unknowns?: Uint8Array[];
            } & (
              ({ message?: undefined; welcome?: null; policy?: null; ping?: null; preview?: null; trust?: null }|{ message?: "welcome"; welcome: antenna.v1.Welcome.$Shape; policy?: null; ping?: null; preview?: null; trust?: null }|{ message?: "policy"; welcome?: null; policy: antenna.v1.PolicyUpdate.$Shape; ping?: null; preview?: null; trust?: null }|{ message?: "ping"; welcome?: null; policy?: null; ping: antenna.v1.Ping.$Shape; preview?: null; trust?: null }|{ message?: "preview"; welcome?: null; policy?: null; ping?: null; preview: antenna.v1.PreviewRequest.$Shape; trust?: null }|{ message?: "trust"; welcome?: null; policy?: null; ping?: null; preview?: null; trust: antenna.v1.TrustUpdate.$Shape })
            );
        }

        /**
         * Properties of a Welcome.
         * @deprecated Use antenna.v1.Welcome.$Properties instead.
         */
        interface IWelcome extends antenna.v1.Welcome.$Properties {
        }

        /** Represents a Welcome. */
        class Welcome {

            /**
             * Constructs a new Welcome.
             * @param [properties] Properties to set
             */
            constructor(properties?: antenna.v1.Welcome.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** Welcome revision. */
            revision: number;

            /** Welcome workload. */
            workload: string;

            /** Welcome token. */
            token: Uint8Array;

            /** Welcome time. */
            time?: (google.protobuf.Timestamp.$Properties|null);

            /** Welcome trust. */
            trust?: (antenna.v1.TrustUpdate.$Properties|null);

            /** Welcome heartbeatMs. */
            heartbeatMs: number;

            /**
             * Creates a new Welcome instance using the specified properties.
             * @param [properties] Properties to set
             * @returns Welcome instance
             */
            static create(properties: antenna.v1.Welcome.$Shape): antenna.v1.Welcome & antenna.v1.Welcome.$Shape;
            static create(properties?: antenna.v1.Welcome.$Properties): antenna.v1.Welcome;

            /**
             * Encodes the specified Welcome message. Does not implicitly {@link antenna.v1.Welcome.verify|verify} messages.
             * @param message Welcome message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: antenna.v1.Welcome.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a Welcome message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {antenna.v1.Welcome & antenna.v1.Welcome.$Shape} Welcome
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): antenna.v1.Welcome & antenna.v1.Welcome.$Shape;
        }

        namespace Welcome {

            /** Properties of a Welcome. */
            interface $Properties {

                /** Welcome revision */
                revision?: (number|null);

                /** Welcome workload */
                workload?: (string|null);

                /** Welcome token */
                token?: (Uint8Array|null);

                /** Welcome time */
                time?: (google.protobuf.Timestamp.$Properties|null);

                /** Welcome trust */
                trust?: (antenna.v1.TrustUpdate.$Properties|null);

                /** Welcome heartbeatMs */
                heartbeatMs?: (number|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of a Welcome. */
            type $Shape = antenna.v1.Welcome.$Properties;
        }

        /**
         * Properties of a TrustUpdate.
         * @deprecated Use antenna.v1.TrustUpdate.$Properties instead.
         */
        interface ITrustUpdate extends antenna.v1.TrustUpdate.$Properties {
        }

        /** Represents a TrustUpdate. */
        class TrustUpdate {

            /**
             * Constructs a new TrustUpdate.
             * @param [properties] Properties to set
             */
            constructor(properties?: antenna.v1.TrustUpdate.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** TrustUpdate roots. */
            roots: Uint8Array[];

            /** TrustUpdate policyKeys. */
            policyKeys: antenna.v1.PolicyKey.$Properties[];

            /**
             * Creates a new TrustUpdate instance using the specified properties.
             * @param [properties] Properties to set
             * @returns TrustUpdate instance
             */
            static create(properties: antenna.v1.TrustUpdate.$Shape): antenna.v1.TrustUpdate & antenna.v1.TrustUpdate.$Shape;
            static create(properties?: antenna.v1.TrustUpdate.$Properties): antenna.v1.TrustUpdate;

            /**
             * Encodes the specified TrustUpdate message. Does not implicitly {@link antenna.v1.TrustUpdate.verify|verify} messages.
             * @param message TrustUpdate message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: antenna.v1.TrustUpdate.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a TrustUpdate message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {antenna.v1.TrustUpdate & antenna.v1.TrustUpdate.$Shape} TrustUpdate
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): antenna.v1.TrustUpdate & antenna.v1.TrustUpdate.$Shape;
        }

        namespace TrustUpdate {

            /** Properties of a TrustUpdate. */
            interface $Properties {

                /** TrustUpdate roots */
                roots?: (Uint8Array[]|null);

                /** TrustUpdate policyKeys */
                policyKeys?: (antenna.v1.PolicyKey.$Properties[]|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of a TrustUpdate. */
            type $Shape = antenna.v1.TrustUpdate.$Properties;
        }

        /**
         * Properties of a PolicyUpdate.
         * @deprecated Use antenna.v1.PolicyUpdate.$Properties instead.
         */
        interface IPolicyUpdate extends antenna.v1.PolicyUpdate.$Properties {
        }

        /** Represents a PolicyUpdate. */
        class PolicyUpdate {

            /**
             * Constructs a new PolicyUpdate.
             * @param [properties] Properties to set
             */
            constructor(properties?: antenna.v1.PolicyUpdate.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** PolicyUpdate header. */
            header?: (antenna.v1.PolicyHeader.$Properties|null);

            /** PolicyUpdate changes. */
            changes: antenna.v1.SetChange.$Properties[];

            /** PolicyUpdate last. */
            last: boolean;

            /**
             * Creates a new PolicyUpdate instance using the specified properties.
             * @param [properties] Properties to set
             * @returns PolicyUpdate instance
             */
            static create(properties: antenna.v1.PolicyUpdate.$Shape): antenna.v1.PolicyUpdate & antenna.v1.PolicyUpdate.$Shape;
            static create(properties?: antenna.v1.PolicyUpdate.$Properties): antenna.v1.PolicyUpdate;

            /**
             * Encodes the specified PolicyUpdate message. Does not implicitly {@link antenna.v1.PolicyUpdate.verify|verify} messages.
             * @param message PolicyUpdate message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: antenna.v1.PolicyUpdate.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a PolicyUpdate message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {antenna.v1.PolicyUpdate & antenna.v1.PolicyUpdate.$Shape} PolicyUpdate
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): antenna.v1.PolicyUpdate & antenna.v1.PolicyUpdate.$Shape;
        }

        namespace PolicyUpdate {

            /** Properties of a PolicyUpdate. */
            interface $Properties {

                /** PolicyUpdate header */
                header?: (antenna.v1.PolicyHeader.$Properties|null);

                /** PolicyUpdate changes */
                changes?: (antenna.v1.SetChange.$Properties[]|null);

                /** PolicyUpdate last */
                last?: (boolean|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of a PolicyUpdate. */
            type $Shape = antenna.v1.PolicyUpdate.$Properties;
        }

        /**
         * Properties of a PolicyHeader.
         * @deprecated Use antenna.v1.PolicyHeader.$Properties instead.
         */
        interface IPolicyHeader extends antenna.v1.PolicyHeader.$Properties {
        }

        /** Represents a PolicyHeader. */
        class PolicyHeader {

            /**
             * Constructs a new PolicyHeader.
             * @param [properties] Properties to set
             */
            constructor(properties?: antenna.v1.PolicyHeader.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** PolicyHeader version. */
            version?: (antenna.v1.Version.$Properties|null);

            /** PolicyHeader digest. */
            digest: string;

            /** PolicyHeader base. */
            base: string;

            /** PolicyHeader keyId. */
            keyId: Uint8Array;

            /** PolicyHeader signature. */
            signature: Uint8Array;

            /** PolicyHeader rest. */
            rest?: (antenna.v1.PolicyRest.$Properties|null);

            /** PolicyHeader removedSets. */
            removedSets: string[];

            /** PolicyHeader probation. */
            probation: boolean;

            /**
             * Creates a new PolicyHeader instance using the specified properties.
             * @param [properties] Properties to set
             * @returns PolicyHeader instance
             */
            static create(properties: antenna.v1.PolicyHeader.$Shape): antenna.v1.PolicyHeader & antenna.v1.PolicyHeader.$Shape;
            static create(properties?: antenna.v1.PolicyHeader.$Properties): antenna.v1.PolicyHeader;

            /**
             * Encodes the specified PolicyHeader message. Does not implicitly {@link antenna.v1.PolicyHeader.verify|verify} messages.
             * @param message PolicyHeader message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: antenna.v1.PolicyHeader.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a PolicyHeader message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {antenna.v1.PolicyHeader & antenna.v1.PolicyHeader.$Shape} PolicyHeader
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): antenna.v1.PolicyHeader & antenna.v1.PolicyHeader.$Shape;
        }

        namespace PolicyHeader {

            /** Properties of a PolicyHeader. */
            interface $Properties {

                /** PolicyHeader version */
                version?: (antenna.v1.Version.$Properties|null);

                /** PolicyHeader digest */
                digest?: (string|null);

                /** PolicyHeader base */
                base?: (string|null);

                /** PolicyHeader keyId */
                keyId?: (Uint8Array|null);

                /** PolicyHeader signature */
                signature?: (Uint8Array|null);

                /** PolicyHeader rest */
                rest?: (antenna.v1.PolicyRest.$Properties|null);

                /** PolicyHeader removedSets */
                removedSets?: (string[]|null);

                /** PolicyHeader probation */
                probation?: (boolean|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of a PolicyHeader. */
            type $Shape = antenna.v1.PolicyHeader.$Properties;
        }

        /**
         * Properties of a PolicyRest.
         * @deprecated Use antenna.v1.PolicyRest.$Properties instead.
         */
        interface IPolicyRest extends antenna.v1.PolicyRest.$Properties {
        }

        /** Represents a PolicyRest. */
        class PolicyRest {

            /**
             * Constructs a new PolicyRest.
             * @param [properties] Properties to set
             */
            constructor(properties?: antenna.v1.PolicyRest.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** PolicyRest mode. */
            mode: string;

            /** PolicyRest visibility. */
            visibility: string;

            /** PolicyRest reject. */
            reject: boolean;

            /** PolicyRest rules. */
            rules: antenna.v1.Rule.$Properties[];

            /** PolicyRest enforce. */
            enforce: antenna.v1.Service.$Properties[];

            /** PolicyRest identities. */
            identities: { [k: string]: string };

            /**
             * Creates a new PolicyRest instance using the specified properties.
             * @param [properties] Properties to set
             * @returns PolicyRest instance
             */
            static create(properties: antenna.v1.PolicyRest.$Shape): antenna.v1.PolicyRest & antenna.v1.PolicyRest.$Shape;
            static create(properties?: antenna.v1.PolicyRest.$Properties): antenna.v1.PolicyRest;

            /**
             * Encodes the specified PolicyRest message. Does not implicitly {@link antenna.v1.PolicyRest.verify|verify} messages.
             * @param message PolicyRest message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: antenna.v1.PolicyRest.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a PolicyRest message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {antenna.v1.PolicyRest & antenna.v1.PolicyRest.$Shape} PolicyRest
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): antenna.v1.PolicyRest & antenna.v1.PolicyRest.$Shape;
        }

        namespace PolicyRest {

            /** Properties of a PolicyRest. */
            interface $Properties {

                /** PolicyRest mode */
                mode?: (string|null);

                /** PolicyRest visibility */
                visibility?: (string|null);

                /** PolicyRest reject */
                reject?: (boolean|null);

                /** PolicyRest rules */
                rules?: (antenna.v1.Rule.$Properties[]|null);

                /** PolicyRest enforce */
                enforce?: (antenna.v1.Service.$Properties[]|null);

                /** PolicyRest identities */
                identities?: ({ [k: string]: string }|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of a PolicyRest. */
            type $Shape = antenna.v1.PolicyRest.$Properties;
        }

        /**
         * Properties of a Rule.
         * @deprecated Use antenna.v1.Rule.$Properties instead.
         */
        interface IRule extends antenna.v1.Rule.$Properties {
        }

        /** Represents a Rule. */
        class Rule {

            /**
             * Constructs a new Rule.
             * @param [properties] Properties to set
             */
            constructor(properties?: antenna.v1.Rule.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** Rule id. */
            id: string;

            /** Rule direction. */
            direction: string;

            /** Rule action. */
            action: string;

            /** Rule peers. */
            peers: string[];

            /** Rule services. */
            services: antenna.v1.Service.$Properties[];

            /** Rule secure. */
            secure: boolean;

            /**
             * Creates a new Rule instance using the specified properties.
             * @param [properties] Properties to set
             * @returns Rule instance
             */
            static create(properties: antenna.v1.Rule.$Shape): antenna.v1.Rule & antenna.v1.Rule.$Shape;
            static create(properties?: antenna.v1.Rule.$Properties): antenna.v1.Rule;

            /**
             * Encodes the specified Rule message. Does not implicitly {@link antenna.v1.Rule.verify|verify} messages.
             * @param message Rule message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: antenna.v1.Rule.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a Rule message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {antenna.v1.Rule & antenna.v1.Rule.$Shape} Rule
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): antenna.v1.Rule & antenna.v1.Rule.$Shape;
        }

        namespace Rule {

            /** Properties of a Rule. */
            interface $Properties {

                /** Rule id */
                id?: (string|null);

                /** Rule direction */
                direction?: (string|null);

                /** Rule action */
                action?: (string|null);

                /** Rule peers */
                peers?: (string[]|null);

                /** Rule services */
                services?: (antenna.v1.Service.$Properties[]|null);

                /** Rule secure */
                secure?: (boolean|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of a Rule. */
            type $Shape = antenna.v1.Rule.$Properties;
        }

        /**
         * Properties of a Service.
         * @deprecated Use antenna.v1.Service.$Properties instead.
         */
        interface IService extends antenna.v1.Service.$Properties {
        }

        /** Represents a Service. */
        class Service {

            /**
             * Constructs a new Service.
             * @param [properties] Properties to set
             */
            constructor(properties?: antenna.v1.Service.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** Service protocol. */
            protocol: number;

            /** Service ports. */
            ports: antenna.v1.PortRange.$Properties[];

            /** Service icmpType. */
            icmpType?: (number|null);

            /** Service icmpCode. */
            icmpCode?: (number|null);

            /**
             * Creates a new Service instance using the specified properties.
             * @param [properties] Properties to set
             * @returns Service instance
             */
            static create(properties: antenna.v1.Service.$Shape): antenna.v1.Service & antenna.v1.Service.$Shape;
            static create(properties?: antenna.v1.Service.$Properties): antenna.v1.Service;

            /**
             * Encodes the specified Service message. Does not implicitly {@link antenna.v1.Service.verify|verify} messages.
             * @param message Service message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: antenna.v1.Service.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a Service message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {antenna.v1.Service & antenna.v1.Service.$Shape} Service
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): antenna.v1.Service & antenna.v1.Service.$Shape;
        }

        namespace Service {

            /** Properties of a Service. */
            interface $Properties {

                /** Service protocol */
                protocol?: (number|null);

                /** Service ports */
                ports?: (antenna.v1.PortRange.$Properties[]|null);

                /** Service icmpType */
                icmpType?: (number|null);

                /** Service icmpCode */
                icmpCode?: (number|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of a Service. */
            type $Shape = antenna.v1.Service.$Properties;
        }

        /**
         * Properties of a PortRange.
         * @deprecated Use antenna.v1.PortRange.$Properties instead.
         */
        interface IPortRange extends antenna.v1.PortRange.$Properties {
        }

        /** Represents a PortRange. */
        class PortRange {

            /**
             * Constructs a new PortRange.
             * @param [properties] Properties to set
             */
            constructor(properties?: antenna.v1.PortRange.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** PortRange from. */
            from: number;

            /** PortRange to. */
            to: number;

            /**
             * Creates a new PortRange instance using the specified properties.
             * @param [properties] Properties to set
             * @returns PortRange instance
             */
            static create(properties: antenna.v1.PortRange.$Shape): antenna.v1.PortRange & antenna.v1.PortRange.$Shape;
            static create(properties?: antenna.v1.PortRange.$Properties): antenna.v1.PortRange;

            /**
             * Encodes the specified PortRange message. Does not implicitly {@link antenna.v1.PortRange.verify|verify} messages.
             * @param message PortRange message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: antenna.v1.PortRange.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a PortRange message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {antenna.v1.PortRange & antenna.v1.PortRange.$Shape} PortRange
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): antenna.v1.PortRange & antenna.v1.PortRange.$Shape;
        }

        namespace PortRange {

            /** Properties of a PortRange. */
            interface $Properties {

                /** PortRange from */
                from?: (number|null);

                /** PortRange to */
                to?: (number|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of a PortRange. */
            type $Shape = antenna.v1.PortRange.$Properties;
        }

        /**
         * Properties of a SetChange.
         * @deprecated Use antenna.v1.SetChange.$Properties instead.
         */
        interface ISetChange extends antenna.v1.SetChange.$Properties {
        }

        /** Represents a SetChange. */
        class SetChange {

            /**
             * Constructs a new SetChange.
             * @param [properties] Properties to set
             */
            constructor(properties?: antenna.v1.SetChange.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** SetChange name. */
            name: string;

            /** SetChange addedIpv4. */
            addedIpv4: Uint8Array;

            /** SetChange addedIpv6. */
            addedIpv6: Uint8Array;

            /** SetChange removedIpv4. */
            removedIpv4: Uint8Array;

            /** SetChange removedIpv6. */
            removedIpv6: Uint8Array;

            /**
             * Creates a new SetChange instance using the specified properties.
             * @param [properties] Properties to set
             * @returns SetChange instance
             */
            static create(properties: antenna.v1.SetChange.$Shape): antenna.v1.SetChange & antenna.v1.SetChange.$Shape;
            static create(properties?: antenna.v1.SetChange.$Properties): antenna.v1.SetChange;

            /**
             * Encodes the specified SetChange message. Does not implicitly {@link antenna.v1.SetChange.verify|verify} messages.
             * @param message SetChange message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: antenna.v1.SetChange.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a SetChange message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {antenna.v1.SetChange & antenna.v1.SetChange.$Shape} SetChange
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): antenna.v1.SetChange & antenna.v1.SetChange.$Shape;
        }

        namespace SetChange {

            /** Properties of a SetChange. */
            interface $Properties {

                /** SetChange name */
                name?: (string|null);

                /** SetChange addedIpv4 */
                addedIpv4?: (Uint8Array|null);

                /** SetChange addedIpv6 */
                addedIpv6?: (Uint8Array|null);

                /** SetChange removedIpv4 */
                removedIpv4?: (Uint8Array|null);

                /** SetChange removedIpv6 */
                removedIpv6?: (Uint8Array|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of a SetChange. */
            type $Shape = antenna.v1.SetChange.$Properties;
        }

        /**
         * Properties of a Ping.
         * @deprecated Use antenna.v1.Ping.$Properties instead.
         */
        interface IPing extends antenna.v1.Ping.$Properties {
        }

        /** Represents a Ping. */
        class Ping {

            /**
             * Constructs a new Ping.
             * @param [properties] Properties to set
             */
            constructor(properties?: antenna.v1.Ping.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** Ping nonce. */
            nonce: Uint8Array;

            /**
             * Creates a new Ping instance using the specified properties.
             * @param [properties] Properties to set
             * @returns Ping instance
             */
            static create(properties: antenna.v1.Ping.$Shape): antenna.v1.Ping & antenna.v1.Ping.$Shape;
            static create(properties?: antenna.v1.Ping.$Properties): antenna.v1.Ping;

            /**
             * Encodes the specified Ping message. Does not implicitly {@link antenna.v1.Ping.verify|verify} messages.
             * @param message Ping message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: antenna.v1.Ping.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a Ping message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {antenna.v1.Ping & antenna.v1.Ping.$Shape} Ping
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): antenna.v1.Ping & antenna.v1.Ping.$Shape;
        }

        namespace Ping {

            /** Properties of a Ping. */
            interface $Properties {

                /** Ping nonce */
                nonce?: (Uint8Array|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of a Ping. */
            type $Shape = antenna.v1.Ping.$Properties;
        }

        /**
         * Properties of a PreviewRequest.
         * @deprecated Use antenna.v1.PreviewRequest.$Properties instead.
         */
        interface IPreviewRequest extends antenna.v1.PreviewRequest.$Properties {
        }

        /** Represents a PreviewRequest. */
        class PreviewRequest {

            /**
             * Constructs a new PreviewRequest.
             * @param [properties] Properties to set
             */
            constructor(properties?: antenna.v1.PreviewRequest.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** PreviewRequest id. */
            id: number;

            /** PreviewRequest policy. */
            policy?: (antenna.v1.PolicyUpdate.$Properties|null);

            /** PreviewRequest examples. */
            examples: number;

            /**
             * Creates a new PreviewRequest instance using the specified properties.
             * @param [properties] Properties to set
             * @returns PreviewRequest instance
             */
            static create(properties: antenna.v1.PreviewRequest.$Shape): antenna.v1.PreviewRequest & antenna.v1.PreviewRequest.$Shape;
            static create(properties?: antenna.v1.PreviewRequest.$Properties): antenna.v1.PreviewRequest;

            /**
             * Encodes the specified PreviewRequest message. Does not implicitly {@link antenna.v1.PreviewRequest.verify|verify} messages.
             * @param message PreviewRequest message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: antenna.v1.PreviewRequest.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a PreviewRequest message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {antenna.v1.PreviewRequest & antenna.v1.PreviewRequest.$Shape} PreviewRequest
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): antenna.v1.PreviewRequest & antenna.v1.PreviewRequest.$Shape;
        }

        namespace PreviewRequest {

            /** Properties of a PreviewRequest. */
            interface $Properties {

                /** PreviewRequest id */
                id?: (number|null);

                /** PreviewRequest policy */
                policy?: (antenna.v1.PolicyUpdate.$Properties|null);

                /** PreviewRequest examples */
                examples?: (number|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of a PreviewRequest. */
            type $Shape = antenna.v1.PreviewRequest.$Properties;
        }

        /**
         * Properties of a PreviewReport.
         * @deprecated Use antenna.v1.PreviewReport.$Properties instead.
         */
        interface IPreviewReport extends antenna.v1.PreviewReport.$Properties {
        }

        /** Represents a PreviewReport. */
        class PreviewReport {

            /**
             * Constructs a new PreviewReport.
             * @param [properties] Properties to set
             */
            constructor(properties?: antenna.v1.PreviewReport.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** PreviewReport id. */
            id: number;

            /** PreviewReport document. */
            document: string;

            /** PreviewReport problem. */
            problem: string;

            /**
             * Creates a new PreviewReport instance using the specified properties.
             * @param [properties] Properties to set
             * @returns PreviewReport instance
             */
            static create(properties: antenna.v1.PreviewReport.$Shape): antenna.v1.PreviewReport & antenna.v1.PreviewReport.$Shape;
            static create(properties?: antenna.v1.PreviewReport.$Properties): antenna.v1.PreviewReport;

            /**
             * Encodes the specified PreviewReport message. Does not implicitly {@link antenna.v1.PreviewReport.verify|verify} messages.
             * @param message PreviewReport message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: antenna.v1.PreviewReport.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a PreviewReport message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {antenna.v1.PreviewReport & antenna.v1.PreviewReport.$Shape} PreviewReport
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): antenna.v1.PreviewReport & antenna.v1.PreviewReport.$Shape;
        }

        namespace PreviewReport {

            /** Properties of a PreviewReport. */
            interface $Properties {

                /** PreviewReport id */
                id?: (number|null);

                /** PreviewReport document */
                document?: (string|null);

                /** PreviewReport problem */
                problem?: (string|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of a PreviewReport. */
            type $Shape = antenna.v1.PreviewReport.$Properties;
        }
    }
}

/** Namespace google. */
export namespace google {

    /** Namespace protobuf. */
    namespace protobuf {

        /**
         * Properties of a Timestamp.
         * @deprecated Use google.protobuf.Timestamp.$Properties instead.
         */
        interface ITimestamp extends google.protobuf.Timestamp.$Properties {
        }

        /** Represents a Timestamp. */
        class Timestamp {

            /**
             * Constructs a new Timestamp.
             * @param [properties] Properties to set
             */
            constructor(properties?: google.protobuf.Timestamp.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** Timestamp seconds. */
            seconds: number;

            /** Timestamp nanos. */
            nanos: number;

            /**
             * Creates a new Timestamp instance using the specified properties.
             * @param [properties] Properties to set
             * @returns Timestamp instance
             */
            static create(properties: google.protobuf.Timestamp.$Shape): google.protobuf.Timestamp & google.protobuf.Timestamp.$Shape;
            static create(properties?: google.protobuf.Timestamp.$Properties): google.protobuf.Timestamp;

            /**
             * Encodes the specified Timestamp message. Does not implicitly {@link google.protobuf.Timestamp.verify|verify} messages.
             * @param message Timestamp message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: google.protobuf.Timestamp.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a Timestamp message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {google.protobuf.Timestamp & google.protobuf.Timestamp.$Shape} Timestamp
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): google.protobuf.Timestamp & google.protobuf.Timestamp.$Shape;
        }

        namespace Timestamp {

            /** Properties of a Timestamp. */
            interface $Properties {

                /** Timestamp seconds */
                seconds?: (number|null);

                /** Timestamp nanos */
                nanos?: (number|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of a Timestamp. */
            type $Shape = google.protobuf.Timestamp.$Properties;
        }
    }
}
