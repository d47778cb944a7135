// A list of which only what is in sight, and a little more, is in the page. Rows
// have any height; what is not yet measured is guessed. The reader's place is a
// row, not a number of pixels, so that nothing moves when rows come above it or
// turn out higher than guessed.

// Heights knows where each row begins. It needs no page.
export class Heights {
  #known = new Map() // key to px
  #sum = 0
  #tops = new Float64Array([0])
  keys = []

  get guess() { return this.#known.size ? this.#sum / this.#known.size : 48 }
  get total() { return this.#tops[this.keys.length] }

  top(index) { return this.#tops[index] }

  // measured returns whether it changes anything.
  measured(key, height) {
    const before = this.#known.get(key)
    if (before !== undefined && Math.abs(before - height) < 0.05) return false
    this.#known.set(key, height)
    this.#sum += height - (before ?? 0)
    return true
  }

  forget() {
    this.#known.clear()
    this.#sum = 0
  }

  // lay puts rows one below the other.
  lay(keys) {
    this.keys = keys
    if (this.#tops.length <= keys.length) this.#tops = new Float64Array(keys.length * 2 + 1)
    const guess = this.guess
    let top = 0
    for (let i = 0; i < keys.length; i++) {
      this.#tops[i] = top
      top += this.#known.get(keys[i]) ?? guess
    }
    this.#tops[keys.length] = top
  }

  // at is the row at a height: the last one that begins at or above it.
  at(y) {
    let low = 0, high = this.keys.length - 1
    while (low < high) {
      const middle = low + high + 1 >> 1
      if (this.#tops[middle] <= y) low = middle
      else high = middle - 1
    }
    return Math.max(0, low)
  }
}

const margin = 600 // px above and below that are in the page too
const atEnd = 4    // px from the end that count as the end

export class List {
  atEnd = true // and stays there when something comes
  items = []

  #heights = new Heights()
  #rows = new Map() // key to {element, version}
  #place            // {key, gap}: the row at the top, and how far it is from there
  #width
  #view             // the height that was last drawn for
  #top              // and where that left the scroller
  #due

  // row makes the element of items[i]; version changes when it has to be made
  // again. onScroll is called after each move.
  constructor(scroller, list, {row, version, onScroll}) {
    Object.assign(this, {scroller, list, row, version, onScroll})
    scroller.addEventListener("scroll", () => this.#scrolled(), {passive: true})
    new ResizeObserver(() => {
      if (this.#width !== scroller.clientWidth) this.#heights.forget()
      this.#width = scroller.clientWidth
      this.draw()
    }).observe(scroller)
  }

  // update draws items, at the next frame.
  update(items) {
    this.items = items
    this.#due ??= requestAnimationFrame(() => this.draw())
  }

  // show draws items at once: at the end, or with the row of key near the top.
  show(items, key) {
    this.items = items
    this.atEnd = key === undefined
    this.#place = key === undefined ? undefined : {key, gap: this.scroller.clientHeight / 4}
    this.#rows.clear()
    this.list.replaceChildren()
    this.draw()
    this.#scrolled(true)
  }

  toEnd() {
    this.atEnd = true
    this.draw()
  }

  draw() {
    cancelAnimationFrame(this.#due)
    this.#due = undefined
    const heights = this.#heights, {scroller} = this
    const keys = this.items.map(item => item.key)
    const index = this.#place && !this.atEnd ? keys.indexOf(this.#place.key) : -1
    const view = this.#view = scroller.clientHeight
    // Measured rows may leave room for others, hence a few rounds.
    for (let round = 1, grew = true; grew && round <= 5; round++) {
      heights.lay(keys)
      const most = Math.max(0, heights.total - view)
      const top = Math.max(0, Math.min(most, this.atEnd ? most : index < 0 ? scroller.scrollTop : heights.top(index) - this.#place.gap))
      const first = heights.at(top - margin), last = heights.at(top + view + margin)
      grew = this.#fill(first, last)
      if (grew && round < 5) continue
      this.list.style.paddingTop = `${heights.top(first)}px`
      this.list.style.paddingBottom = `${heights.total - heights.top(Math.min(last + 1, keys.length))}px`
      if (Math.abs(scroller.scrollTop - top) >= 1) scroller.scrollTop = top
      this.#top = scroller.scrollTop
    }
  }

  // fill has the rows from first to last in the page and no others. It returns
  // whether a height is other than it was taken to be.
  #fill(first, last) {
    const rows = new Map()
    let before = null
    for (let i = first; i <= last && i < this.items.length; i++) {
      const {key} = this.items[i], version = this.version(this.items, i)
      let row = this.#rows.get(key)
      if (row?.version !== version) {
        const element = this.row(this.items, i)
        row?.element.replaceWith(element)
        row = {element, version}
      }
      const next = before ? before.nextSibling : this.list.firstChild
      if (next !== row.element) this.list.insertBefore(row.element, next)
      row.element.ariaSetSize = this.items.length
      row.element.ariaPosInSet = i + 1
      before = row.element
      rows.set(key, row)
    }
    for (const [key, {element}] of this.#rows) {
      if (!rows.has(key)) element.remove()
    }
    this.#rows = rows
    let grew = false
    for (const [key, {element}] of rows) {
      grew = this.#heights.measured(key, element.getBoundingClientRect().height) || grew
    }
    return grew
  }

  // scrolled finds the reader's place, if it is the reader who has moved: neither
  // draw nor another size of the scroller, unless forced.
  #scrolled(forced) {
    const {scroller} = this, heights = this.#heights
    const top = scroller.scrollTop
    if (!forced && (scroller.clientHeight !== this.#view || Math.abs(top - this.#top) < 1)) {
      this.draw()
      return this.onScroll()
    }
    this.atEnd = top + scroller.clientHeight >= heights.total - atEnd
    if (heights.keys.length) {
      let i = heights.at(top)
      if (i === 0 && this.items[0]?.kind === "top" && this.items.length > 1) i = 1 // what comes, comes below it
      this.#place = {key: heights.keys[i], gap: heights.top(i) - top}
    }
    this.draw()
    this.onScroll()
  }

  // nearTop: what comes before should be fetched.
  get nearTop() { return this.scroller.scrollTop < margin }
}
