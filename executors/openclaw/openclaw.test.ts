import { beforeAll, describe, expect, it } from 'vitest'
import { onPath, type StandIn } from '../../test/stand-ins/on-path.js'
import {
  GATEWAY_TOKEN,
  type Gateway,
  HOOKS_TOKEN,
  openclawGateway,
} from '../../test/stand-ins/openclaw-gateway.js'
import { onFileEnd } from '../../test/support/fileEnd.js'
import { toStorable } from '../../worker/results.js'
import type { RunContext } from '../define.js'
import { defaultPolicy, runExecutor, testStep } from '../testing.js'
import openclaw from './index.js'

const AMBIGUOUS = {
  outcome: 'fail',
  error: expect.stringContaining('may have run'),
  meta: { ambiguous: true },
}

const policy = (overrides: Partial<RunContext['policy']>) => ({ ...defaultPolicy, ...overrides })

describe('the command line', () => {
  let standIn: StandIn
  beforeAll(async () => {
    standIn = await onPath('openclaw')
  })
  const env = () => ({ PATH: standIn.PATH, OPENCLAW_STATE_DIR: standIn.folder })

  const run = async (params: object, overrides: Partial<RunContext> = {}) =>
    (await runExecutor(openclaw, params, { env: env(), ...overrides })).outcome
  const ask = (message: string, overrides: Partial<RunContext> = {}) =>
    run({ agent: 'ops', message }, overrides)
  const lastCall = async () => (await standIn.calls()).at(-1)

  it('answers with the text, the session, and what it has cost', async () => {
    expect(await ask('summarise the logs')).toEqual({
      outcome: 'done',
      result: {
        text: 'did: summarise the logs',
        model: 'default-model',
        session_id: 'session-1',
        run_id: 'run-1',
        usage: { input_tokens: 120, output_tokens: 30, total_tokens: 150 },
      },
      cost_usd: 0.0042,
      meta: { via: 'cli', exit_code: 0, usage: { input_tokens: 120, output_tokens: 30, total_tokens: 150 } },
    })
  })

  it('is given each value as it is: no shell, and no value that passes for an option', async () => {
    const message = '--local $(id); `rm -rf /` "quoted"'
    await run({ session_key: '--to', message, thinking: 'low', local: true })
    expect((await lastCall())?.argv).toEqual([
      'agent',
      '--session-key',
      '--to',
      '--message',
      message,
      '--local',
      '--thinking',
      'low',
      '--timeout',
      '571',
      '--json',
    ])
  })

  it('sees only the variables that the executor names', async () => {
    await ask('hello')
    const seen = (await lastCall())?.env.filter((name) => name !== '__CF_USER_TEXT_ENCODING')
    expect(seen).toEqual(['OPENCLAW_STATE_DIR', 'PATH'])
    expect(openclaw.env).not.toContain('DATABASE_URL')
  })

  it('is told the role of the agent that the step names: instructions, tools that policy allows, model', async () => {
    await run(
      { message: 'look into it' },
      {
        step: { ...testStep('openclaw:triage'), agent: 'triage' },
        role: { instructions: 'Be brief.', model: 'small', tools: ['read', 'shell', 'write'] },
        policy: policy({ allowed_tools: ['read', 'write', 'browse'] }),
      },
    )
    const argv = (await lastCall())?.argv ?? []
    expect(argv.slice(0, 5)).toEqual([
      'agent',
      '--agent',
      'triage',
      '--message',
      'Be brief.\n\nUse no tools but these: read, write.\n\nlook into it',
    ])
    expect(argv).toContain('small')
  })

  it('prefers what the step says to what the role says', async () => {
    await run({ agent: 'ops', message: 'x', model: 'large' }, { role: { model: 'small' } })
    expect((await lastCall())?.argv).toContain('large')
    expect((await lastCall())?.argv).not.toContain('small')
  })

  describe('that could not tell how it ended is not asked again', () => {
    it.each([
      ['lost the gateway', 'lose'],
      ['ran out of time', 'slow'],
      ['says nothing that can be read', 'babble'],
      ['was killed', 'die'],
    ])('because it %s', async (_name, word) => {
      expect(await ask(word)).toMatchObject(AMBIGUOUS)
    })

    it('because policy gave it no more time; it is ended', async () => {
      expect(await ask('hang', { policy: policy({ openclaw_timeout_ms: 1000 }) })).toMatchObject(AMBIGUOUS)
      const pid = (await lastCall())?.pid ?? 0
      expect(() => process.kill(pid, 0)).toThrow('ESRCH')
    })

    it('because the step has no more time', async () => {
      const step = { ...testStep('openclaw'), timeout_seconds: 1 }
      expect(await ask('hang', { step })).toMatchObject({
        ...AMBIGUOUS,
        error: expect.stringContaining('within 0.9 s'),
      })
    })
  })

  it.each([
    ['unreachable', { outcome: 'retry', error: 'gateway_unreachable: connect ECONNREFUSED 127.0.0.1:18789' }],
    ['limit', { outcome: 'retry', after_seconds: 42 }],
    ['stumble', { outcome: 'retry', error: 'model_error: the provider said 500' }],
    ['invalid', { outcome: 'fail', error: 'invalid_request: unknown agent id' }],
  ])('that explains its failure: %s', async (word, outcome) => {
    expect(await ask(word)).toMatchObject(outcome)
  })

  it('that is not there fails for good', async () => {
    expect(await ask('hello', { env: { PATH: '/nowhere' } })).toMatchObject({
      outcome: 'fail',
      error: expect.stringContaining('not in its PATH'),
    })
  })

  it('runs only subcommands that policy names', async () => {
    const exec = { subcommand: 'agent exec', message: 'fix it', cwd: standIn.folder }
    expect(await run(exec)).toMatchObject({ outcome: 'fail', meta: { code: 'OPS_012' } })
    const allowing = policy({ allowed_openclaw_subcommands: ['agent exec', 'sessions'] })
    expect(await run(exec, { policy: allowing })).toMatchObject({
      outcome: 'done',
      result: { text: `did: fix it in ${standIn.folder}`, usage: { total_tokens: 15 } },
      cost_usd: 0.001,
    })
    expect(await run({ ...exec, message: 'late' }, { policy: allowing })).toMatchObject(AMBIGUOUS)
    expect(await ask('hello', { policy: allowing })).toMatchObject({
      outcome: 'fail',
      meta: { code: 'OPS_012' },
    })
    expect(
      await run({ subcommand: 'sessions', args: ['--active', '5'] }, { policy: allowing }),
    ).toMatchObject({
      outcome: 'done',
      result: { output: { sessions: [], args: ['--active', '5', '--json'] } },
    })
    expect(await run({ subcommand: 'sessions', args: ['odd'] }, { policy: allowing })).toMatchObject({
      outcome: 'done',
      result: { output: { name: 'a\uFFFDb' } },
    })
  })

  it('wants to know whom to ask', async () => {
    expect(await run({ message: 'hello' })).toMatchObject({
      outcome: 'fail',
      error: expect.stringContaining('params.agent'),
    })
  })
})

describe('the gateway', () => {
  let gateway: Gateway
  const fresh = async () => {
    gateway = await openclawGateway()
    onFileEnd(gateway.close)
    return {
      OPENCLAW_GATEWAY_URL: gateway.url,
      OPENCLAW_GATEWAY_TOKEN: GATEWAY_TOKEN,
      OPENCLAW_HOOKS_TOKEN: HOOKS_TOKEN,
    }
  }
  const run = async (params: object, overrides: Partial<RunContext> = {}) =>
    (await runExecutor(openclaw, params, { ...overrides, env: overrides.env ?? (await fresh()) })).outcome
  const ask = (message: string, overrides: Partial<RunContext> = {}) =>
    run({ agent: 'ops', message }, overrides)

  it('is asked as its OpenAI interface wants it, and answers with text, usage and cost', async () => {
    const role = { instructions: 'Be brief.', temperature: 0.2, model: 'small' }
    expect(await ask('hello', { role })).toMatchObject({
      outcome: 'done',
      result: { text: 'did: hello', usage: { input_tokens: 200, output_tokens: 40, total_tokens: 240 } },
      cost_usd: 0.01,
      meta: { via: 'gateway', status: 200 },
    })
    const [request] = gateway.received
    expect(request?.headers).toMatchObject({ 'x-openclaw-model': 'small' })
    expect(JSON.parse(request?.body ?? '')).toEqual({
      model: 'openclaw/ops',
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: 'hello' },
      ],
      temperature: 0.2,
    })
  })

  it('may say what no database can store, and more than is kept: the work is done all the same', async () => {
    const outcome = await ask('ramble')
    expect(outcome).toMatchObject({ outcome: 'done', result: { truncated: true } })
    const stored = toStorable(outcome.outcome === 'done' && outcome.result, {
      mask: (text) => text,
      path: 'result',
    })
    expect(stored).toMatchObject({
      ok: true,
      value: { text: expect.stringMatching(/^\uFFFD😀.*😀\uFFFD$/u) },
    })
  })

  it('goes on with a session by its key', async () => {
    await run({ session_key: 'agent:ops:main', message: 'hello' })
    expect(gateway.received[0]?.headers).toMatchObject({ 'x-openclaw-session-key': 'agent:ops:main' })
  })

  it.each(['lose', 'proxy'])('whose answer got lost is not asked again: %s', async (word) => {
    expect(await ask(word)).toMatchObject(AMBIGUOUS)
    expect(gateway.received).toHaveLength(1)
  })

  it('that takes too long is not asked again', async () => {
    expect(await ask('hang', { policy: policy({ openclaw_timeout_ms: 1000 }) })).toMatchObject(AMBIGUOUS)
  })

  it.each([
    ['limit', { outcome: 'retry', error: '429: slow down', after_seconds: 17 }],
    ['full', { outcome: 'retry', error: '503: starting' }],
    ['invalid', { outcome: 'fail', error: '400: no such agent' }],
  ])('that says why not: %s', async (word, outcome) => {
    expect(await ask(word)).toMatchObject(outcome)
    expect(await run({ agent: 'ops', message: word, wait: false })).toMatchObject(outcome)
  })

  it('that is away is asked again: it has begun nothing', async () => {
    const env = await fresh()
    await gateway.close()
    expect(await ask('hello', { env })).toMatchObject({
      outcome: 'retry',
      error: expect.stringContaining('ECONNREFUSED'),
    })
  })

  it.each([
    ['OPENCLAW_GATEWAY_URL', { OPENCLAW_GATEWAY_URL: 'nowhere' }, {}],
    ['OPENCLAW_GATEWAY_URL', { OPENCLAW_GATEWAY_URL: 'ws://127.0.0.1:18789' }, {}],
    ['OPENCLAW_GATEWAY_TOKEN', { OPENCLAW_GATEWAY_TOKEN: 'two\nlines' }, {}],
    ['params.session_key', {}, { agent: undefined, session_key: 'ключ' }],
    ['params.model', {}, { model: 'модель' }],
  ])('is not asked what cannot be sent, which fails for good and names %s', async (name, wrong, params) => {
    const env = { ...(await fresh()), ...wrong }
    const outcome = await run({ agent: 'ops', message: 'hello', via: 'gateway', ...params }, { env })
    expect(outcome).toMatchObject({ outcome: 'fail', error: expect.stringContaining(name) })
    expect(outcome).not.toMatchObject(AMBIGUOUS)
    expect(gateway.received).toEqual([])
  })

  it('that does not know the worker fails for good', async () => {
    const env = { ...(await fresh()), OPENCLAW_GATEWAY_TOKEN: 'wrong' }
    expect(await ask('hello', { env })).toMatchObject({ outcome: 'fail', error: '401: Unauthorized' })
  })

  it('admits a task that nobody waits for once, although its first answer got lost', async () => {
    const env = await fresh()
    const task = { agent: 'ops', message: 'lose this', wait: false }
    expect(await run(task, { env })).toMatchObject({ outcome: 'retry' })
    expect(await run(task, { env, attempt: 2 })).toMatchObject({
      outcome: 'done',
      result: { run_id: 'run-1' },
    })
    expect(gateway.admitted).toEqual(['lose this'])
    expect(gateway.received.map(({ headers }) => headers['idempotency-key'])).toEqual([
      '00000000-0000-4000-8000-000000000001',
      '00000000-0000-4000-8000-000000000001',
    ])
  })
})

describe('params', () => {
  it.each([
    [{}, 'params.message'],
    [{ message: 'x', agent: 'a', to: 'b' }, 'params.to'],
    [{ message: 'x', agent: 'a', args: ['y'] }, 'params.args'],
    [{ message: 'x', subcommand: 'sessions' }, 'params.message'],
    [{ subcommand: 'sessions; rm' }, 'params.subcommand'],
    [{ subcommand: '--version' }, 'params.subcommand'],
    [{ message: 'x', agent: 'a', thinking: 'lots' }, 'params.thinking'],
    [{ message: 'x', agent: 'a', via: 'cli', wait: false }, 'params.wait'],
    [{ message: 'x\0', agent: 'a' }, 'params.message'],
  ])('refuses %j, naming %s', async (params, path) => {
    await expect(runExecutor(openclaw, params)).rejects.toThrow(path)
  })
})
