/** What one RTMP connection, and all of them together, may cost. Times in milliseconds, sizes in bytes. */
export interface IngestLimits {
  connections: number;
  connectionsPerAddress: number;
  handshakeMs: number;
  /** From connect to the `publish` command. */
  publishMs: number;
  /** How long the origin may think about a `publish`. */
  decisionMs: number;
  /** Longest silence of audio and video in an accepted publish. */
  idleMs: number;
  /** What may be received before the `publish` command. */
  bytesBeforePublish: number;
  /** Media held while the origin thinks. */
  bytesBeforeAccept: number;
  messageBeforeAccept: number;
  message: number;
  chunkStreamsBeforeAccept: number;
  chunkStreams: number;
  /** Payload buffers of one connection, all chunk streams together. */
  payloadBuffers: number;
  /** Accepted media that the origin has not read yet. */
  unreadMedia: number;
  /** An ingest process that says nothing for so long is taken for hung and replaced. */
  processSilenceMs: number;
}

const KIB = 1024;
const MIB = 1024 * KIB;

/** The limits of a production origin. */
export const defaultLimits: IngestLimits = {
  connections: 1000,
  connectionsPerAddress: 50,
  handshakeMs: 5_000,
  publishMs: 10_000,
  decisionMs: 8_000,
  idleMs: 10_000,
  bytesBeforePublish: 256 * KIB,
  bytesBeforeAccept: 4 * MIB,
  messageBeforeAccept: 64 * KIB,
  message: 16 * MIB,
  chunkStreamsBeforeAccept: 16,
  chunkStreams: 64,
  payloadBuffers: 32 * MIB,
  unreadMedia: 16 * MIB,
  processSilenceMs: 10_000,
};
