import { mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { readToken } from '../api/access/tokens.js'
import { writeConnection } from '../embedded/connection.js'
import { answer, run } from './testing.js'

const SECRET = 'a secret of more than thirty-two characters'
const before = process.env.OPS_TOKEN_SECRET
beforeAll(() => {
  process.env.OPS_TOKEN_SECRET = SECRET
})
afterAll(() => {
  if (before === undefined) delete process.env.OPS_TOKEN_SECRET
  else process.env.OPS_TOKEN_SECRET = before
})

describe('token mint', () => {
  test('prints a token that the API knows, for the time and scopes that were asked for', async () => {
    const { exitCode, stdout } = await run(
      ...[
        'token',
        'mint',
        '--scope',
        'proposals:approve',
        '--scope',
        '*:read',
        '--ttl',
        '30d',
        '--for',
        'ada',
      ],
    )
    expect(exitCode).toBe(0)
    const holder = { name: 'ada', scopes: ['proposals:approve', '*:read'] }
    const days = (n: number) => Date.now() + n * 86_400_000
    expect(await readToken([SECRET], stdout.trim(), days(29.9))).toMatchObject(holder)
    expect(await readToken([SECRET], stdout.trim(), days(30.1))).toBeUndefined()
  })

  test('with --json says also when it ends', async () => {
    expect(await answer('token', 'mint', '--scope', 'events:write', '--ttl', '15m', '--for', 'shop')).toEqual(
      {
        token: expect.stringMatching(/^ey/),
        expires_at: expect.stringMatching(/Z$/),
        for: 'shop',
        scopes: ['events:write'],
      },
    )
  })

  test.each([
    ['no scope', ['--ttl', '1d'], 2, /--scope/],
    ['no time', ['--scope', 'events:write'], 2, /--ttl/],
    ['a time without a unit', ['--scope', 'events:write', '--ttl', '30'], 2, /such as 30d/],
    ['an unknown scope', ['--scope', 'everything', '--ttl', '1d'], 1, /known scopes: heartbeat:run/],
    ['a life too long', ['--scope', 'events:write', '--ttl', '999d'], 1, /366 days/],
  ])('refuses %s', async (_, args, code, message) => {
    const { exitCode, stderr } = await run('token', 'mint', ...args)
    expect([exitCode, stderr]).toEqual([code, expect.stringMatching(message)])
  })

  test('with --data-dir it is signed as the stack there wants it, whatever .env says', async () => {
    const dataDir = await mkdtemp(join(inject('testDir'), 'token-'))
    const stack = 'the secret of a stack, of more than 32 characters'
    await writeConnection(dataDir, {
      OPS_STACK_PID: process.pid,
      DATABASE_URL: 'postgres://127.0.0.1:1/postgres',
      WORKER_DATABASE_URL: 'postgres://127.0.0.1:1/postgres',
      SUPABASE_URL: 'http://127.0.0.1:1',
      SUPABASE_SERVICE_ROLE_KEY: 'key',
      OPS_API_URL: 'http://127.0.0.1:1',
      OPS_API_KEY: 'key',
      OPS_TOKEN_SECRET: stack,
      GITHUB_WEBHOOK_SECRET: 'secret',
    })
    const mint = ['token', 'mint', '--scope', 'events:write', '--ttl', '15m']
    const { stdout } = await run('--data-dir', dataDir, ...mint)
    expect(await readToken([stack], stdout.trim(), Date.now())).toMatchObject({ scopes: ['events:write'] })
    expect(await run('--data-dir', join(dataDir, 'nowhere'), ...mint)).toMatchObject({
      exitCode: 1,
      stdout: '',
      stderr: expect.stringContaining('No npm start is running on'),
    })
  })
})
