import type { JsonObject } from '../engine/index.js'
import type { ExecutorPolicy } from '../executors/define.js'
// By itself: all of `policies` is the matcher too, with its languages, which a worker has no use for.
import { workerPolicySchema } from '../policies/schemas/worker_policy.js'

/** What was read once need not be read again for every step. */
const read = new WeakMap<JsonObject, ExecutorPolicy>()

/**
 * Policy `worker_policy` with its defaults. The database lets no other value in; should one be there all the same, the
 * defaults apply, which allow nothing that has to be named.
 */
export function readWorkerPolicy(value: JsonObject): ExecutorPolicy {
  const known = read.get(value)
  if (known) return known
  const parsed = workerPolicySchema.safeParse(value)
  const policy = parsed.success ? parsed.data : workerPolicySchema.parse({})
  read.set(value, policy)
  return policy
}
