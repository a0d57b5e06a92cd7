import { createHmac } from 'node:crypto'
import { expect, test } from 'vitest'
import { stripe } from './stripe.js'

const SECRET = 'whsec_test_secret'
const NOW = 1_700_000_000
const body = JSON.stringify({
  id: 'evt_1',
  type: 'invoice.paid',
  pending_webhooks: 2,
  data: { object: { id: 'in_1' } },
})

/** Stripe's scheme: HMAC-SHA256 of the time, a dot and the body. */
const v1 = (time: number, text = body, secret = SECRET) =>
  createHmac('sha256', secret).update(`${time}.${text}`, 'utf8').digest('hex')

const receive = (signature: string, text = body, secrets = [SECRET], at = NOW) =>
  stripe(secrets).receive({
    headers: new Headers({ 'stripe-signature': signature }),
    body: Buffer.from(text),
    receivedAt: at * 1000,
  })

test('a genuine delivery is an event by Stripe’s own id, without what differs when it is repeated', () => {
  expect(receive(`t=${NOW},v1=${v1(NOW)}`)).toEqual({
    type: 'stripe:invoice.paid',
    data: {
      id: 'evt_1',
      type: 'invoice.paid',
      data: { object: { id: 'in_1' } },
      source: 'stripe',
      delivery_id: 'evt_1',
    },
    dedupe_key: 'stripe:evt_1',
  })
})

test('one of several signatures, and one of several secrets, is enough', () => {
  const other = v1(NOW, body, 'whsec_other')
  expect(receive(`t=${NOW},v1=${other},v1=${v1(NOW)},v0=${other}`)).toMatchObject({
    dedupe_key: 'stripe:evt_1',
  })
  expect(receive(`t=${NOW},v1=${other}`, body, [SECRET, 'whsec_other'])).toMatchObject({
    dedupe_key: 'stripe:evt_1',
  })
})

test.each([
  ['no header', ''],
  ['no time', `v1=${v1(NOW)}`],
  ['no signature of version 1', `t=${NOW},v0=${v1(NOW)}`],
  ['a signature cut off', `t=${NOW},v1=${v1(NOW).slice(0, 40)}`],
  ['another time than the signed one', `t=${NOW + 1},v1=${v1(NOW)}`],
  ['another secret', `t=${NOW},v1=${v1(NOW, body, 'whsec_x')}`],
  ['another body', `t=${NOW},v1=${v1(NOW, `${body} `)}`],
  ['a time that is no number', `t=now,v1=${v1(NOW)}`],
])('is refused with %s', (_, header) => {
  expect(() => receive(header)).toThrow(expect.objectContaining({ code: 'OPS_012' }))
})

test('is refused outside five minutes, before and after, though the signature fits', () => {
  const header = `t=${NOW},v1=${v1(NOW)}`
  expect(receive(header, body, [SECRET], NOW + 300)).toBeDefined()
  expect(receive(header, body, [SECRET], NOW - 300)).toBeDefined()
  expect(() => receive(header, body, [SECRET], NOW + 301)).toThrow('five minutes')
  expect(() => receive(header, body, [SECRET], NOW - 301)).toThrow('five minutes')
})

test('is refused while no secret is configured', () => {
  expect(() => receive(`t=${NOW},v1=${v1(NOW)}`, body, [])).toThrow('No secret is configured for Stripe.')
})

test.each(['[]', '{', '{"type":"x"}', '{"id":"evt_1"}', '{"id":"a b","type":"x"}'])(
  '%s is no event',
  (text) => {
    expect(() => receive(`t=${NOW},v1=${v1(NOW, text)}`, text)).toThrow(
      expect.objectContaining({ code: 'OPS_011' }),
    )
  },
)
