import { BlockList, isIP } from 'node:net'
import { createGuard, type Response, send } from '../../channels/index.js'
import type { ServiceCheckResult } from '../../engine/index.js'
import type { Service } from '../../policies/index.js'

/** Values of the environment variables that a policy's `secret_headers` may name. */
export type ServiceSecrets = Readonly<Record<string, string>>

/** Bytes of an answer that are looked at. */
const MAX_BYTES = 1_048_576

/** Where machines keep the credentials of their cloud: no health endpoint lives there. */
const credentials = new BlockList()
credentials.addSubnet('169.254.0.0', 16, 'ipv4')
credentials.addSubnet('fe80::', 10, 'ipv6')
// The first of them by way of NAT64.
credentials.addSubnet('64:ff9b::a9fe:0', 112, 'ipv6')
// Of Amazon, Google, Oracle, Alibaba and Azure.
for (const address of ['fd00:ec2::254', 'fd20:ce::254', 'fd00:c1::a9fe:a9fe'])
  credentials.addAddress(address, 'ipv6')
for (const address of ['100.100.100.200', '168.63.129.16']) credentials.addAddress(address, 'ipv4')

/** Services may be private, other than whatever an event can name: operators list them. */
const guard = createGuard((address) => !credentials.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4'))

/**
 * Asks a service how it is, once. Never throws: whatever goes wrong is what the check says. Follows no redirects.
 *
 * @example
 * await probe('billing', service, { OPS_SERVICE_BILLING_KEY: '…' })
 * // { name: 'billing', ok: false, http_status: 503, latency_ms: 41, error: 'answered 503, not 200' }
 */
export async function probe(
  name: string,
  service: Service,
  secrets: ServiceSecrets,
): Promise<ServiceCheckResult> {
  const headers: Record<string, string> = { accept: 'application/json, */*', ...service.headers }
  for (const [header, variable] of Object.entries(service.secret_headers)) {
    const value = secrets[variable]
    if (value === undefined)
      return { name, ok: false, error: `the control plane has no environment variable ${variable}` }
    headers[header] = value
  }
  const begin = performance.now()
  const latency = () => Math.round(performance.now() - begin)
  const { url, method, timeout_ms } = service
  const signal = AbortSignal.timeout(timeout_ms)
  try {
    const answer = await send(
      { url: new URL(url), method, headers, body: undefined, signal },
      guard,
      MAX_BYTES,
    )
    const error = complaint(service, answer)
    return { name, ok: error === undefined, http_status: answer.status, latency_ms: latency(), error }
  } catch (error) {
    return {
      name,
      ok: false,
      latency_ms: latency(),
      error: signal.aborted ? `no answer within ${timeout_ms} ms` : describe(error),
    }
  }
}

/** What an answer lacks to mean health; undefined when nothing. */
function complaint(service: Service, { status, body, truncated }: Response): string | undefined {
  if (!service.expect_status.includes(status))
    return `answered ${status}, not ${service.expect_status.join(' or ')}`
  const wanted = Object.entries(service.expect_json)
  if (wanted.length === 0) return undefined
  if (truncated) return 'answered with more than 1 MiB of JSON'
  let json: unknown
  try {
    json = JSON.parse(body.toString('utf8'))
  } catch {
    return 'did not answer in JSON'
  }
  for (const [path, value] of wanted) {
    const found = at(json, path)
    if (found !== value) return `${path} is ${shown(found)}, not ${JSON.stringify(value)}`
  }
  return undefined
}

function at(json: unknown, path: string): unknown {
  let value = json
  for (const part of path.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined
    value = Object.entries(value).find(([name]) => name === part)?.[1]
  }
  return value
}

function shown(value: unknown): string {
  if (value === undefined) return 'missing'
  const text = JSON.stringify(value)
  return text.length > 100 ? `${text.slice(0, 100)}…` : text
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message || error.name : String(error)
}
