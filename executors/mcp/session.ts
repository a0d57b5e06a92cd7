import { setMaxListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import {
  StreamableHTTPClientTransport,
  StreamableHTTPError,
} from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { ErrorCode, McpError, type Tool } from '@modelcontextprotocol/sdk/types.js'
import { describeError, type ExecutorContext, fail, type McpServer, type Outcome, retry } from '../define.js'
import type { Call } from './index.js'
import { resultOf } from './result.js'
import { StdioTransport } from './stdio.js'

type Context = ExecutorContext<Call>

/** How long a server may take to say hello, in milliseconds. */
const HELLO_MS = 30_000

/** How long it may take to say goodbye, in milliseconds: the tool's answer is there. */
const GOODBYE_MS = 1000

/** Pages of its list of tools that are read. */
const MAX_PAGES = 100

/** A longer answer than this is none that a step could keep. */
const MAX_ANSWER_BYTES = 4 * 1024 * 1024

/** Opens a session with a server, calls the tool and closes the session. */
export async function converse(context: Context, server: McpServer): Promise<Outcome> {
  const transport = openTransport(context, server)
  if ('missing' in transport) return fail(`this worker's environment has no ${transport.missing}`)
  const client = new Client({ name: 'ops-loop', version: '1' })
  // The client listens to it once for each page, and for good.
  setMaxListeners(0, context.signal)
  try {
    const tool = await findTool(context, client, transport)
    return 'outcome' in tool ? tool : await call(context, client, tool)
  } finally {
    // A session that is left open would stay with the server.
    if (transport instanceof StreamableHTTPClientTransport)
      await Promise.race([transport.terminateSession().catch(() => undefined), after(GOODBYE_MS)])
    await client.close()
    await transport.close()
  }
}

const after = (ms: number) => sleep(ms, undefined, { ref: false })

function openTransport(
  { env }: Context,
  server: McpServer,
): StdioTransport | StreamableHTTPClientTransport | { missing: string } {
  if ('url' in server) {
    const { url, token_env } = server
    if (token_env && !env[token_env]) return { missing: token_env }
    const headers = token_env ? { authorization: `Bearer ${env[token_env]}` } : undefined
    // A redirect would carry the token elsewhere.
    const fetchHere = async (address: string | URL, init?: RequestInit) =>
      limited(await fetch(address, { ...init, redirect: 'error' }))
    return new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers }, fetch: fetchHere })
  }
  const given: Record<string, string> = {}
  for (const name of ['PATH', 'HOME', 'LANG', 'TMPDIR']) if (env[name]) given[name] = env[name]
  for (const [name, variable] of Object.entries(server.env)) {
    const value = env[variable]
    if (value === undefined) return { missing: variable }
    given[name] = value
  }
  return new StdioTransport({ command: server.command, args: server.args, env: given })
}

/** An answer that fails when it gets longer than what is read of one. */
function limited(response: Response): Response {
  if (!response.body) return response
  let bytes = 0
  const limit = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      bytes += chunk.length
      if (bytes > MAX_ANSWER_BYTES)
        controller.error(new Error(`the server answers with more than ${MAX_ANSWER_BYTES / 1024 ** 2} MiB`))
      else controller.enqueue(chunk)
    },
  })
  return new Response(response.body.pipeThrough(limit), response)
}

/** Waits no longer than this, and not on when the step is told to stop: not all that the library waits for has an end. */
async function within<T>(ms: number, signal: AbortSignal, promise: Promise<T>): Promise<T> {
  const ended = new AbortController()
  const stop = AbortSignal.any([signal, ended.signal])
  try {
    return await Promise.race([
      promise,
      sleep(ms, undefined, { signal: stop }).then(() => {
        throw new Error(`no answer within ${ms / 1000} s`)
      }),
    ])
  } finally {
    ended.abort()
  }
}

/** Says hello and looks the tool up. Nothing has been done when this fails. */
async function findTool(
  { params, signal }: Context,
  client: Client,
  transport: StdioTransport | StreamableHTTPClientTransport,
): Promise<Tool | Outcome> {
  try {
    await within(HELLO_MS, signal, client.connect(transport, { signal, timeout: HELLO_MS }))
    const names: string[] = []
    let cursor: string | undefined
    for (let pages = 0; pages === 0 || (cursor !== undefined && pages < MAX_PAGES); pages++) {
      const page = await client.listTools({ cursor }, { signal, timeout: HELLO_MS })
      const found = page.tools.find(({ name }) => name === params.tool)
      if (found) return found
      names.push(...page.tools.map(({ name }) => name))
      cursor = page.nextCursor
    }
    return fail(
      `MCP server '${params.server}' has no tool '${params.tool}'; it has: ${names.join(', ') || 'none'}`,
    )
  } catch (error) {
    if (signal.aborted) throw error
    const complaint = transport instanceof StdioTransport ? transport.complaint : ''
    const text = `MCP server '${params.server}' cannot be used: ${describeError(error)}${complaint ? ` (${complaint})` : ''}`
    return isFinal(error) ? fail(text) : retry({ error: text })
  }
}

async function call(
  { params, signal, idempotencyKey }: Context,
  client: Client,
  tool: Tool,
): Promise<Outcome> {
  const timeout = params.timeout_seconds * 1000
  try {
    const result = await client.callTool(
      // Servers that care can tell a repetition by this.
      { name: tool.name, arguments: params.arguments, _meta: { 'ops-loop/idempotency-key': idempotencyKey } },
      undefined,
      { signal, timeout, maxTotalTimeout: timeout },
    )
    return resultOf(result)
  } catch (error) {
    if (signal.aborted) throw error
    const text = describeError(error)
    const code = error instanceof McpError ? { mcp_code: error.code } : {}
    if (isFinal(error)) return fail(text, { meta: code })
    if (!isCut(error) || isTurnedAway(error)) return retry({ error: text, meta: code })
    const { readOnlyHint, idempotentHint } = tool.annotations ?? {}
    if (readOnlyHint || idempotentHint) return retry({ error: text, meta: code })
    return fail(`the tool may have run, and is not called again by itself: ${text}`, {
      meta: { ...code, ambiguous: true },
    })
  }
}

/** The same call will be refused again. */
function isFinal(error: unknown): boolean {
  if (error instanceof McpError)
    return error.code === ErrorCode.InvalidParams || error.code === ErrorCode.MethodNotFound
  if (error instanceof StreamableHTTPError)
    return error.code !== undefined && error.code >= 400 && error.code < 500 && error.code !== 429
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'EACCES')
}

/** The server was too busy to begin. */
function isTurnedAway(error: unknown): boolean {
  return error instanceof StreamableHTTPError && (error.code === 429 || error.code === 503)
}

/** The connection or the waiting ended before the answer came. */
function isCut(error: unknown): boolean {
  if (!(error instanceof McpError)) return true
  return error.code === ErrorCode.ConnectionClosed || error.code === ErrorCode.RequestTimeout
}
