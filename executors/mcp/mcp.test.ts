import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js'
import { describe, expect, it } from 'vitest'
import { type Handler, serve } from '../../channels/testing.js'
import { createMcpServer } from '../../test/stand-ins/mcp-server.mjs'
import { onFileEnd } from '../../test/support/fileEnd.js'
import type { McpServer, RunContext } from '../define.js'
import { defaultPolicy, runExecutor, testStep } from '../testing.js'
import mcp from './index.js'

const PROGRAM = join(import.meta.dirname, '../../test/stand-ins/mcp-server.mjs')
const TOOLS = ['echo', 'add', 'complain', 'picture', 'environment', 'die', 'die_harmlessly', 'hang', 'gone']
const STEP = '00000000-0000-4000-8000-000000000001'

const overStdio = (more: object = {}): McpServer => ({
  command: process.execPath,
  args: [PROGRAM],
  env: {},
  tools: TOOLS,
  ...more,
})

const policyWith = (server: McpServer, more: Partial<RunContext['policy']> = {}) => ({
  ...defaultPolicy,
  mcp_servers: { files: server },
  ...more,
})

const call = async (
  tool: string,
  args: object = {},
  overrides: Partial<RunContext> = {},
  more: object = {},
) => {
  const context = { policy: policyWith(overStdio()), ...overrides }
  return (await runExecutor(mcp, { server: 'files', tool, arguments: args, ...more }, context)).outcome
}

/** A server over streamable HTTP, a session for each client. */
async function overHttp(token = 'mcp-token-1') {
  const sessions = new Map<string, StreamableHTTPServerTransport>()
  const opened: string[] = []
  const server = await serve(async (request, response) => {
    if (request.headers.authorization !== `Bearer ${token}`) return void response.writeHead(401).end()
    if (request.path === '/elsewhere') return void response.writeHead(307, { location: '/mcp' }).end()
    const id = request.headers['mcp-session-id']
    let transport = typeof id === 'string' ? sessions.get(id) : undefined
    if (!transport) {
      const fresh = new StreamableHTTPServerTransport({
        sessionIdGenerator: () => crypto.randomUUID(),
        onsessioninitialized: (session) => {
          sessions.set(session, fresh)
          opened.push(session)
        },
        onsessionclosed: (session) => void sessions.delete(session),
      })
      await createMcpServer(async () => {
        response.destroy()
        return new Promise<never>(() => undefined)
      }).connect(fresh)
      transport = fresh
    }
    const body = request.body ? JSON.parse(request.body) : undefined
    await transport.handleRequest(response.req, response, body)
  })
  onFileEnd(server.close)
  const named: McpServer = { url: `${server.url}/mcp`, token_env: 'OPS_MCP_FILES_TOKEN', tools: TOOLS }
  const env = { OPS_MCP_FILES_TOKEN: token }
  return { server, named, env, sessions, opened }
}

/** A server over HTTP that answers requests by what is given, by method, and everything else as it should. */
async function stubborn(answers: Record<string, Handler>) {
  const server = await serve((request, response) => {
    const { id, method = request.method } = request.body ? JSON.parse(request.body) : {}
    const known: Record<string, object> = {
      initialize: {
        protocolVersion: '2025-06-18',
        capabilities: { tools: {} },
        serverInfo: { name: 's', version: '1' },
      },
      'tools/list': { tools: [{ name: 'echo', inputSchema: { type: 'object' } }] },
      'tools/call': { content: [{ type: 'text', text: 'hello' }] },
    }
    const answer = answers[method]
    if (answer) return answer(request, response)
    const result = known[method]
    if (result === undefined) return void response.writeHead(method === 'GET' ? 405 : 202).end()
    const headers = { 'content-type': 'application/json', 'mcp-session-id': 'a-session' }
    return void response.writeHead(200, headers).end(JSON.stringify({ jsonrpc: '2.0', id, result }))
  })
  onFileEnd(server.close)
  return { policy: policyWith({ url: server.url, tools: TOOLS }) }
}

/** Answers a request with this result. */
const answeringWith =
  (result: object): Handler =>
  ({ body }, response) => {
    const headers = { 'content-type': 'application/json' }
    response.writeHead(200, headers).end(JSON.stringify({ jsonrpc: '2.0', id: JSON.parse(body).id, result }))
  }

describe('a server over stdio', () => {
  it('is called with the arguments and an idempotency key', async () => {
    expect(await call('echo', { text: 'hello' })).toMatchObject({
      outcome: 'done',
      result: { text: `hello (${STEP})` },
    })
  })

  it('answers with data, and with what is no text by its size', async () => {
    expect(await call('add', { a: 2, b: 3 })).toMatchObject({
      outcome: 'done',
      result: { text: '5', structured: { sum: 5 } },
    })
    expect(await call('picture')).toMatchObject({
      outcome: 'done',
      result: { text: 'see', others: [{ type: 'image', mime_type: 'image/png', bytes: 3 }] },
    })
  })

  it('sees only the variables that policy gives it', async () => {
    const policy = policyWith(overStdio({ env: { GITHUB_TOKEN: 'OPS_MCP_GITHUB' } }))
    const env = { PATH: '/usr/bin', OPS_MCP_GITHUB: 'ghp_123456', OPS_MCP_OTHER: 'not for you' }
    const outcome = await call('environment', {}, { policy, env })
    if (outcome.outcome !== 'done') throw new Error(JSON.stringify(outcome))
    const { __CF_USER_TEXT_ENCODING: _, ...seen } = JSON.parse(
      JSON.parse(JSON.stringify(outcome.result)).text,
    )
    expect(seen).toEqual({ PATH: '/usr/bin', GITHUB_TOKEN: 'ghp_123456' })
    expect(await call('environment', {}, { policy, env: {} })).toMatchObject({
      outcome: 'fail',
      error: expect.stringContaining('OPS_MCP_GITHUB'),
    })
  })

  it('that does not take the arguments fails for good or is tried again as it says', async () => {
    expect(await call('complain')).toMatchObject({ outcome: 'retry', error: 'the disk is full' })
    expect((await call('echo', {})).outcome).not.toBe('done')
  })

  it('that ends in the middle of a call is not called again', async () => {
    expect(await call('die')).toMatchObject({
      outcome: 'fail',
      error: expect.stringContaining('may have run'),
      meta: { ambiguous: true },
    })
  })

  it('that ends in the middle of a call is called again where the tool says that this does no harm', async () => {
    expect(await call('die_harmlessly')).toMatchObject({ outcome: 'retry' })
  })

  it('that takes too long is not called again, and is gone although it ignores SIGTERM', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'ops-loop-mcp-'))
    onFileEnd(() => rm(folder, { recursive: true }))
    const file = join(folder, 'pid')
    const outcome = await call('hang', { file }, {}, { timeout_seconds: 1 })
    expect(outcome).toMatchObject({ outcome: 'fail', meta: { ambiguous: true } })
    const pid = Number(await readFile(file, 'utf8'))
    expect(() => process.kill(pid, 0)).toThrow('ESRCH')
  })

  it('is gone when the step is told to stop', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'ops-loop-mcp-'))
    onFileEnd(() => rm(folder, { recursive: true }))
    const file = join(folder, 'pid')
    const stop = new AbortController()
    const ended = call('hang', { file }, { signal: stop.signal })
    await expect.poll(() => readFile(file, 'utf8').catch(() => ''), { timeout: 20_000 }).not.toBe('')
    stop.abort(new Error('timed out'))
    await expect(ended).rejects.toThrow()
    const pid = Number(await readFile(file, 'utf8'))
    expect(() => process.kill(pid, 0)).toThrow('ESRCH')
  })

  it('that cannot start is tried again with its complaint, or fails for good when it is not there', async () => {
    const broken = policyWith(overStdio({ args: [PROGRAM, 'broken'] }))
    expect(await call('echo', {}, { policy: broken })).toMatchObject({
      outcome: 'retry',
      error: expect.stringContaining('cannot read my configuration'),
    })
    const missing = policyWith(overStdio({ command: '/nowhere/server' }))
    expect(await call('echo', {}, { policy: missing })).toMatchObject({
      outcome: 'fail',
      error: expect.stringContaining('ENOENT'),
    })
  })

  it('without the tool says what it has', async () => {
    expect(await call('gone')).toMatchObject({
      outcome: 'fail',
      error: expect.stringContaining('it has: echo, add'),
    })
  })
})

describe('a server over streamable HTTP', () => {
  it('is called with its token, and its session is closed afterwards', async () => {
    const { named, env, sessions, opened } = await overHttp()
    const outcome = await call('add', { a: 2, b: 3 }, { policy: policyWith(named), env })
    expect(outcome).toMatchObject({ outcome: 'done', result: { structured: { sum: 5 } } })
    expect([opened.length, sessions.size]).toEqual([1, 0])
  })

  it('that does not know the token fails for good', async () => {
    const { named } = await overHttp()
    const env = { OPS_MCP_FILES_TOKEN: 'wrong' }
    expect(await call('echo', { text: 'x' }, { policy: policyWith(named), env })).toMatchObject({
      outcome: 'fail',
    })
    expect(await call('echo', { text: 'x' }, { policy: policyWith(named), env: {} })).toMatchObject({
      outcome: 'fail',
      error: expect.stringContaining('OPS_MCP_FILES_TOKEN'),
    })
  })

  it('that takes too long is not called again', async () => {
    const { named, env } = await overHttp()
    const outcome = await call('hang', {}, { policy: policyWith(named), env }, { timeout_seconds: 1 })
    expect(outcome).toMatchObject({ outcome: 'fail', meta: { ambiguous: true } })
  })

  it('that redirects is not followed: the token stays here', async () => {
    const { named, env, server } = await overHttp()
    const moved = { ...named, url: `${server.url}/elsewhere` }
    expect((await call('echo', { text: 'x' }, { policy: policyWith(moved), env })).outcome).not.toBe('done')
    expect(server.received.map(({ path }) => path)).not.toContain('/mcp')
  })

  it('that does not say goodbye keeps nobody from its answer', async () => {
    const context = await stubborn({ DELETE: () => undefined })
    expect(await call('echo', {}, context)).toMatchObject({ outcome: 'done', result: { text: 'hello' } })
  })

  it('that falls silent while it is greeted is left when the step is told to stop', async () => {
    const stop = new AbortController()
    const silent = { 'notifications/initialized': () => stop.abort(new Error('timed out')) }
    await expect(call('echo', {}, { ...(await stubborn(silent)), signal: stop.signal })).rejects.toThrow()
  })

  it('whose list of tools has no end is not read for ever', async () => {
    const page = { tools: [{ name: 'other', inputSchema: { type: 'object' } }], nextCursor: 'more' }
    const context = await stubborn({ 'tools/list': answeringWith(page) })
    expect(await call('echo', {}, context)).toMatchObject({
      outcome: 'fail',
      error: expect.stringContaining("no tool 'echo'"),
    })
  })

  it('whose answer is larger than any result is not read to its end', async () => {
    const large = { content: [{ type: 'text', text: 'x'.repeat(5 * 1024 * 1024) }] }
    const context = await stubborn({ 'tools/call': answeringWith(large) })
    expect(await call('echo', {}, context)).toMatchObject({
      outcome: 'fail',
      error: expect.stringContaining('more than 4 MiB'),
    })
  })

  it('may answer with what no database can store: the tool has run all the same', async () => {
    const odd = { content: [], structuredContent: { 'a\0': ['b\0'], uri: '\ud800' } }
    const context = await stubborn({ 'tools/call': answeringWith(odd) })
    expect(await call('echo', {}, context)).toMatchObject({
      outcome: 'done',
      result: { structured: { 'a\uFFFD': ['b\uFFFD'], uri: '\uFFFD' } },
    })
  })

  it('that is away is tried again', async () => {
    const { named, env, server } = await overHttp()
    await server.close()
    expect(await call('echo', { text: 'x' }, { policy: policyWith(named), env })).toMatchObject({
      outcome: 'retry',
      error: expect.stringContaining('ECONNREFUSED'),
    })
  })
})

describe('a call is refused for good', () => {
  const REFUSED = { outcome: 'fail', meta: { code: 'OPS_012' } }

  it('when policy does not name the server', async () => {
    expect(await call('echo', {}, { policy: defaultPolicy })).toMatchObject(REFUSED)
    const { outcome } = await runExecutor(
      mcp,
      { server: 'constructor', tool: 'echo' },
      { policy: defaultPolicy },
    )
    expect(outcome).toMatchObject(REFUSED)
  })

  it('when policy does not list the tool for the server', async () => {
    expect(await call('forbidden')).toMatchObject(REFUSED)
  })

  it('when worker_policy.allowed_tools does not grant it', async () => {
    const policy = policyWith(overStdio(), { allowed_tools: ['echo', 'files/add'] })
    expect(await call('complain', {}, { policy })).toMatchObject(REFUSED)
    expect(await call('echo', { text: 'x' }, { policy })).toMatchObject({ outcome: 'done' })
    expect(await call('add', { a: 1, b: 1 }, { policy })).toMatchObject({ outcome: 'done' })
  })

  it('when the role of the agent that the step names does not grant it', async () => {
    const step = { ...testStep('mcp:scout'), agent: 'scout' }
    expect(await call('complain', {}, { step, role: { tools: ['echo'] } })).toMatchObject(REFUSED)
    expect(await call('echo', { text: 'x' }, { step, role: { tools: ['echo'] } })).toMatchObject({
      outcome: 'done',
    })
    expect(await call('echo', { text: 'x' }, { step, role: { tools: [] } })).toMatchObject(REFUSED)
    const policy = policyWith(overStdio(), { allowed_tools: ['add'] })
    expect(await call('echo', { text: 'x' }, { step, role: { tools: ['echo'] }, policy })).toMatchObject(
      REFUSED,
    )
  })
})
