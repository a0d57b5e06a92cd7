import { createHmac } from 'node:crypto'
import { createRequire } from 'node:module'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { github } from './github.js'

const examples = z
  .array(z.object({ name: z.string(), examples: z.array(z.record(z.string(), z.unknown())) }))
  .parse(createRequire(import.meta.url)('@octokit/webhooks-examples'))

const SECRET = "It's a Secret to Everybody"

function delivery(body: string, headers: Record<string, string> = {}, secret = SECRET) {
  return {
    body: Buffer.from(body),
    receivedAt: 0,
    headers: new Headers({
      'X-GitHub-Event': 'issues',
      'X-GitHub-Delivery': '72d3162e-cc78-11e3-81ab-4c9367dc0958',
      'X-Hub-Signature-256': `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`,
      ...headers,
    }),
  }
}

describe('the signature', () => {
  const documented = 'sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17'

  test("GitHub's documented example is genuine: it fails only for not being JSON", () => {
    const example = delivery('Hello, World!', { 'X-Hub-Signature-256': documented })
    expect(() => github([SECRET]).receive(example)).toThrow(expect.objectContaining({ code: 'OPS_011' }))
  })

  test('any of two secrets may have signed', () => {
    expect(github(['new', SECRET]).receive(delivery('{}'))).toMatchObject({ type: 'github:issues' })
  })

  test.each([
    ['another secret', delivery('{}', {}, 'wrong')],
    ['another body', { ...delivery('{}'), body: Buffer.from('{ }') }],
    ['no signature', delivery('{}', { 'X-Hub-Signature-256': '' })],
    ['half a signature', delivery('{}', { 'X-Hub-Signature-256': documented.slice(0, 40) })],
    ['the old SHA-1 form', delivery('{}', { 'X-Hub-Signature-256': `sha1=${'0'.repeat(40)}` })],
    ['two signatures', delivery('{}', { 'X-Hub-Signature-256': `${documented}, ${documented}` })],
  ])('%s is refused', (_, odd) => {
    expect(() => github([SECRET]).receive(odd)).toThrow(expect.objectContaining({ code: 'OPS_012' }))
  })

  test('without a configured secret even a delivery signed with an empty one is refused', () => {
    const empty = delivery('{}', {}, '')
    expect(() => github([]).receive(empty)).toThrow(expect.objectContaining({ code: 'OPS_012' }))
  })
})

describe('the event', () => {
  test("every example of GitHub's webhooks becomes an event that the engine takes", () => {
    for (const { name, examples: payloads } of examples) {
      for (const payload of payloads) {
        const event = github([SECRET]).receive(delivery(JSON.stringify(payload), { 'X-GitHub-Event': name }))
        if (name === 'ping') {
          expect(event).toBe('ping')
          continue
        }
        const action = typeof payload.action === 'string' ? `.${payload.action}` : ''
        expect(event).toEqual({
          type: expect.stringMatching(/^[A-Za-z0-9][A-Za-z0-9_.:-]{0,199}$/),
          data: { ...payload, source: 'github', delivery_id: '72d3162e-cc78-11e3-81ab-4c9367dc0958' },
          dedupe_key: 'github:72d3162e-cc78-11e3-81ab-4c9367dc0958',
        })
        if (/^\.[a-z_]*$/.test(action)) expect(event).toMatchObject({ type: `github:${name}${action}` })
      }
    }
  })

  test('a payload cannot pretend to come from elsewhere', () => {
    const event = github([SECRET]).receive(delivery('{"source":"stripe","delivery_id":"x"}'))
    expect(event).toMatchObject({
      data: { source: 'github', delivery_id: '72d3162e-cc78-11e3-81ab-4c9367dc0958' },
    })
  })

  test('an action that no type can hold is spelled with underscores', () => {
    const event = github([SECRET]).receive(delivery('{"action":"on demand/тест"}'))
    expect(event).toMatchObject({ type: 'github:issues.on_demand_' })
    const long = github([SECRET]).receive(delivery(JSON.stringify({ action: 'a'.repeat(300) })))
    expect(long).toMatchObject({ type: expect.stringMatching(/^github:issues\.a{186}$/) })
  })

  test('a form holds the payload in one field', () => {
    const body = `payload=${encodeURIComponent('{"action":"opened","title":"a+b & c"}')}`
    const event = github([SECRET]).receive(
      delivery(body, { 'Content-Type': 'application/x-www-form-urlencoded' }),
    )
    expect(event).toMatchObject({ type: 'github:issues.opened', data: { title: 'a+b & c' } })
  })

  test.each([
    ['a body that is not JSON', delivery('{')],
    ['a JSON body that is no object', delivery('[]')],
    ['a number that would become null', delivery('{"action":"opened","n":1e400}')],
    ['null', delivery('null')],
    ['a form without a payload', delivery('x=1', { 'Content-Type': 'application/x-www-form-urlencoded' })],
    ['no event name', delivery('{}', { 'X-GitHub-Event': '' })],
    ['an odd event name', delivery('{}', { 'X-GitHub-Event': 'issues.opened:x' })],
    ['no delivery id', delivery('{}', { 'X-GitHub-Delivery': '' })],
    ['an odd delivery id', delivery('{}', { 'X-GitHub-Delivery': 'a b' })],
  ])('%s is invalid', (_, odd) => {
    expect(() => github([SECRET]).receive(odd)).toThrow(expect.objectContaining({ code: 'OPS_011' }))
  })
})
