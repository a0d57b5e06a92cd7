import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { isStandardSecret, standard } from './standard.js'

// The vector of the specification's own libraries.
const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
const ID = 'msg_p5jXN8AQM9LWM0D4loKWxJek'
const TIME = 1_614_265_330
const BODY = '{"test": 2432232314}'
const SIGNATURE = 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='

beforeEach(() => vi.useFakeTimers({ toFake: ['Date'], now: TIME * 1000 }))
afterEach(() => vi.useRealTimers())

const receive = (headers: Record<string, string> = {}, body = BODY, secrets: readonly string[] = [SECRET]) =>
  standard(secrets).receive({
    headers: new Headers({
      'webhook-id': ID,
      'webhook-timestamp': String(TIME),
      'webhook-signature': SIGNATURE,
      ...headers,
    }),
    body: Buffer.from(body),
    receivedAt: TIME * 1000,
  })

test('the published vector is genuine', () => {
  expect(receive()).toEqual({
    type: 'standard:message',
    data: { test: 2432232314, source: 'standard', delivery_id: ID },
    dedupe_key: `standard:${ID}`,
  })
})

test('one of several signatures, and one of several secrets, is enough', () => {
  expect(receive({ 'webhook-signature': `v1,AAAA v2,x ${SIGNATURE}` })).toBeDefined()
  expect(receive({}, BODY, ['whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA', SECRET])).toBeDefined()
})

test.each([
  ['no signature', { 'webhook-signature': '' }, BODY],
  ['no id', { 'webhook-id': '' }, BODY],
  ['no time', { 'webhook-timestamp': '' }, BODY],
  ['a time that is no number', { 'webhook-timestamp': 'now' }, BODY],
  ['another id', { 'webhook-id': 'msg_other' }, BODY],
  ['another time', { 'webhook-timestamp': String(TIME + 1) }, BODY],
  ['another body', {}, '{"test": 2432232315}'],
  ['a signature of another version', { 'webhook-signature': SIGNATURE.replace('v1', 'v2') }, BODY],
  ['a signature without its version', { 'webhook-signature': SIGNATURE.slice(3) }, BODY],
])('is refused with %s', (_, headers, body) => {
  expect(() => receive(headers, body)).toThrow(expect.objectContaining({ code: 'OPS_012' }))
})

test('is refused outside five minutes, before and after', () => {
  for (const [offset, genuine] of [
    [300, true],
    [-300, true],
    [301, false],
    [-301, false],
  ] as const) {
    vi.setSystemTime((TIME + offset) * 1000)
    if (genuine) expect(receive()).toBeDefined()
    else expect(() => receive()).toThrow(expect.objectContaining({ code: 'OPS_012' }))
  }
})

test('is refused while no secret is configured', () => {
  expect(() => receive({}, BODY, [])).toThrow('No secret')
})

test('a secret that could never verify is found before it is used', () => {
  expect(
    [SECRET, 'MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'whsec_', 'no base64 !', ''].map(isStandardSecret),
  ).toEqual([true, true, false, false, false])
})
