import { describe, expect, it } from 'vitest'
import type { Log } from '../executors/define.js'
import { pickEnv, secretsOf } from './environment.js'
import { createMask, maskedLog } from './mask.js'

describe('a mask', () => {
  it('takes out every occurrence of every secret', () => {
    const mask = createMask(['hunter22', 's3cr3t!'])
    expect(mask('hunter22 and s3cr3t! and hunter22')).toBe('[masked] and [masked] and [masked]')
  })

  it('takes out the longer of two secrets that begin alike', () => {
    expect(createMask(['secret', 'secret-plus'])('secret-plus')).toBe('[masked]')
  })

  it('reads secrets as text, not as patterns', () => {
    const mask = createMask(['a.c*(b)[$^]|\\'])
    expect(mask('a.c*(b)[$^]|\\ abc')).toBe('[masked] abc')
  })

  describe('finds a secret', () => {
    const secret = 'p@ss "word"/+ä\\n1'
    const mask = createMask([secret])

    it.each([
      ['in JSON', JSON.stringify({ token: secret })],
      ['in an address', `https://x.test/?t=${encodeURIComponent(secret)}`],
      ['in an address, in small letters', encodeURIComponent(secret).toLowerCase()],
      ['in a form', new URLSearchParams({ t: secret }).toString()],
      ['in hexadecimal', Buffer.from(secret).toString('hex')],
      ['in base64', Buffer.from(secret).toString('base64')],
      ['in base64 for addresses', Buffer.from(secret).toString('base64url')],
      ['as the password of basic authentication', Buffer.from(`user:${secret}`).toString('base64')],
      ['behind another name of it', Buffer.from(`me2:${secret}`).toString('base64')],
      ['behind a third', Buffer.from(`a:${secret}:z`).toString('base64')],
    ])('%s', (_name, text) => {
      expect(mask(text)).toContain('[masked]')
    })

    it.each([0, 1, 2, 3])('so that none of its characters can be decoded, behind %i others', (before) => {
      const text = mask(Buffer.from(`${'u'.repeat(before)}${secret}zz`).toString('base64'))
      const [head = '', tail = '', ...more] = text.split('[masked]')
      expect(more).toEqual([])
      expect(Buffer.from(head, 'base64').length).toBeLessThanOrEqual(before)
      // That of the two characters behind it.
      expect(tail.length).toBeLessThanOrEqual(6)
    })
  })

  it('leaves text alone when there are no secrets', () => {
    expect(createMask([])('anything')).toBe('anything')
  })
})

describe('secrets of an environment', () => {
  it('are told by the names of variables, in any case', () => {
    const env = {
      STRIPE_KEY: 'sk_live_1',
      client_secret: 'abcdefg',
      GITHUB_TOKEN: 'ghp_1234',
      PGPASSWORD: 'postgres',
      PATH: '/usr/bin',
    }
    expect(secretsOf(env, [])).toEqual(['sk_live_1', 'abcdefg', 'ghp_1234', 'postgres'])
  })

  it('are those that executors name, too', () => {
    expect(secretsOf({ OPS_HTTP_HOOK: 'value-1', OTHER: 'value-2' }, ['OPS_HTTP_*'])).toEqual(['value-1'])
  })

  it('are not the paths among them', () => {
    const env = { PATH: '/usr/local/bin', HOME: '/home/ops-loop', OPENCLAW_STATE_DIR: '/var/openclaw' }
    expect(secretsOf(env, ['PATH', 'HOME', 'OPENCLAW_*'])).toEqual([])
  })

  it('are passwords inside addresses, as written and as meant', () => {
    expect(secretsOf({ DATABASE_URL: 'postgresql://me:p%40ssword@db.test/app' }, [])).toEqual([
      'p%40ssword',
      'p@ssword',
    ])
  })

  it('are not values so short that they occur in ordinary text', () => {
    expect(secretsOf({ API_KEY: 'on', TOKEN: '12345' }, [])).toEqual([])
  })
})

describe('the environment of an executor', () => {
  const env = { OPS_HTTP_A: '1', OPS_HTTP_B: '2', OPS_HTTPX: '3', HOME: '/root', NOT_SET: undefined }

  it('holds only the variables that it names', () => {
    expect(pickEnv(env, ['HOME', 'NOT_SET'])).toEqual({ HOME: '/root' })
    expect(pickEnv(env, ['OPS_HTTP_*'])).toEqual({ OPS_HTTP_A: '1', OPS_HTTP_B: '2' })
    expect(pickEnv(env, [])).toEqual({})
  })
})

describe('a masked log', () => {
  function recording() {
    const lines: unknown[][] = []
    const method = (...args: unknown[]) => void lines.push(args)
    const log: Log = { debug: method, info: method, warn: method, error: method }
    return { lines, log: maskedLog(log, createMask(['hunter22']), { step_id: '7' }) }
  }

  it('masks messages and fields, also deep inside', () => {
    const { lines, log } = recording()
    log.info('with hunter22')
    log.warn({ url: { query: ['x=hunter22'] } }, 'failed')
    expect(lines).toEqual([
      [{ step_id: '7' }, 'with [masked]'],
      [{ step_id: '7', url: { query: ['x=[masked]'] } }, 'failed'],
    ])
  })

  it('masks errors', () => {
    const { lines, log } = recording()
    log.error({ err: new Error('hunter22 is wrong') }, 'failed')
    expect(JSON.stringify(lines)).toContain('[masked] is wrong')
    expect(JSON.stringify(lines)).not.toContain('hunter22')
  })

  it('survives fields that cannot be written', () => {
    const { lines, log } = recording()
    const loop: Record<string, unknown> = {}
    loop.self = loop
    log.info({ loop }, 'fine')
    expect(lines).toEqual([[{ step_id: '7', loop: 'refers to itself' }, 'fine']])
  })
})
