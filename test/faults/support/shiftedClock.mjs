/** Imported before a program: its clock is wrong by FAULTS_CLOCK_SHIFT milliseconds. Timers, which count from now, are not. */
const shift = Number(process.env.FAULTS_CLOCK_SHIFT)
const RealDate = Date
globalThis.Date = class extends RealDate {
  constructor(...args) {
    if (args.length === 0) super(RealDate.now() + shift)
    else super(...args)
  }

  static now() {
    return RealDate.now() + shift
  }
}
