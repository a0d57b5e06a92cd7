import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readToken } from '../api/access/tokens.js'
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
})
