import { createHmac, randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { z } from 'zod'
import { isSystemError, stackError } from './errors.js'
import { stackPaths } from './stackPaths.js'
import { writeWholeFile } from './wholeFile.js'

const secretsSchema = z.object({
  /** Bearer key of the control plane. */
  apiKey: z.string().min(32),
  /** Signs webhook deliveries. */
  webhookSecret: z.string().min(32),
  /** Signs PostgREST's keys. */
  jwtSecret: z.string().min(32),
  /** Of the worker's login. */
  workerPassword: z.string().min(32),
})

export type Secrets = z.infer<typeof secretsSchema>

/**
 * The secrets of a data folder, made at random on first use and readable by the owner alone.
 *
 * @throws OpsError `OPS_001` when the file is damaged
 */
export async function readSecrets(dataDir: string): Promise<Secrets> {
  const file = stackPaths(dataDir).secrets
  try {
    return secretsSchema.parse(JSON.parse(await readFile(file, 'utf8')))
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return makeSecrets(file)
    throw stackError(`${file} is damaged.`, {
      hint: 'Delete it: the next start makes new secrets.',
      cause: error,
    })
  }
}

async function makeSecrets(file: string): Promise<Secrets> {
  const secrets = {
    apiKey: random(),
    webhookSecret: random(),
    jwtSecret: random(),
    workerPassword: random(),
  }
  await writeWholeFile(file, `${JSON.stringify(secrets, undefined, 2)}\n`, 0o600)
  return secrets
}

/** Signs tokens for parts of the API: follows from what is stored, so that the file needs no other field. */
export function tokenSecretOf({ jwtSecret }: Secrets): string {
  return createHmac('sha256', jwtSecret).update('ops-loop tokens').digest('base64url')
}

function random(): string {
  return randomBytes(32).toString('base64url')
}
