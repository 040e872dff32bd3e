import { X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createSecureContext } from "node:tls";
import type { Log } from "../log.ts";
import type { Certificate } from "./process-messages.ts";
import { OLDEST_TLS } from "./tls-door.ts";

/** Where a certificate chain and its private key lie, PEM. */
export interface CertificatePaths {
  certificateFile: string;
  keyFile: string;
}

// Reading the contents sees every way to replace files: writing, renaming, and symbolic links that lead elsewhere.
const LOOK_EVERY_MS = 2_000;

/** A certificate that is read again whenever its files change. A pair that is no good is reported, and the last good one stays. */
export class CertificateFiles {
  readonly #paths: CertificatePaths;
  readonly #log: Log;
  readonly #onChange: (certificate: Certificate) => void;
  #current: Certificate | null = null;
  /** What was wrong at the last look. */
  #fault: string | null = null;
  #reported: string | null = null;
  #timer: NodeJS.Timeout | null = null;
  #isStopped = false;

  constructor(paths: CertificatePaths, log: Log, onChange: (certificate: Certificate) => void) {
    this.#paths = paths;
    this.#log = log;
    this.#onChange = onChange;
  }

  /** Reads the pair and looks after it from now on. Rejects, with words for an operator, where it is no good. */
  async start(): Promise<void> {
    await this.#load();
    this.#schedule();
  }

  /** Looks now. What is wrong is logged; the last good pair stays. */
  async reload(): Promise<void> {
    await this.#look("at once");
  }

  stop(): void {
    this.#isStopped = true;
    if (this.#timer) clearTimeout(this.#timer);
  }

  #schedule(): void {
    if (this.#isStopped) return;
    this.#timer = setTimeout(() => void this.#look("when it stays").finally(() => this.#schedule()), LOOK_EVERY_MS);
  }

  async #look(report: "at once" | "when it stays"): Promise<void> {
    try {
      await this.#load();
      this.#fault = null;
      this.#reported = null;
    } catch (error) {
      const fault = error instanceof Error ? error.message : String(error);
      // Of two files one is replaced first: what is wrong for a moment is not worth a word.
      const stays = report === "at once" || fault === this.#fault;
      this.#fault = fault;
      if (!stays || fault === this.#reported) return;
      this.#reported = fault;
      this.#log.error({ reason: fault }, "the RTMPS certificate could not be reloaded; the old one stays in use");
    }
  }

  async #load(): Promise<void> {
    const { certificateFile, keyFile } = this.#paths;
    const [chain, key] = await Promise.all([readPem(certificateFile), readPem(keyFile)]);
    if (chain === this.#current?.chain && key === this.#current.key) return;
    const validTo = checkPair(chain, key, this.#paths);
    this.#current = { chain, key };
    const fields = { valid_to: validTo.toISOString() };
    if (validTo.getTime() < Date.now()) this.#log.warn(fields, "the RTMPS certificate has ended: encoders that check it stay away");
    else this.#log.info(fields, "RTMPS certificate loaded");
    if (!this.#isStopped) this.#onChange(this.#current);
  }
}

async function readPem(path: string): Promise<string> {
  try {
    return await readFile(path, "latin1");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown";
    throw new Error(`${path} can't be read (${code})`);
  }
}

/** When the certificate ends. Throws in words, without a byte of either file, where the two can't be used together. */
function checkPair(chain: string, key: string, { certificateFile, keyFile }: CertificatePaths): Date {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(chain);
  } catch {
    throw new Error(`${certificateFile} holds no certificate in PEM`);
  }
  try {
    createSecureContext({ cert: chain, key, minVersion: OLDEST_TLS });
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown";
    if (code === "ERR_OSSL_X509_KEY_VALUES_MISMATCH")
      throw new Error(`the key in ${keyFile} is not that of the certificate in ${certificateFile}`);
    throw new Error(`${certificateFile} and ${keyFile} can't be used for TLS (${code}): both must be PEM, the key without a passphrase`);
  }
  return new Date(certificate.validTo);
}
