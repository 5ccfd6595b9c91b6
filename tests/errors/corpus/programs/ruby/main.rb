# Runs each mistake in several ways and sends it with sentry-ruby; the tag `corpus` is its label.
require "securerandom"
require "sentry-ruby"
require "sinatra/base"
require "rack/mock"
require_relative "lib/shop"

N = Integer(ENV.fetch("ROUND"))
Sentry.init do |config|
  config.dsn = ENV.fetch("DSN")
  config.release = ENV.fetch("RELEASE")
  config.background_worker_threads = 0
  config.auto_session_tracking = false
  config.logger = Logger.new(File::NULL)
end

def caught(label)
  Sentry.with_scope do |scope|
    scope.set_tags(corpus: label)
    begin
      yield
    rescue StandardError, SystemStackError => error
      Sentry.capture_exception(error)
      next
    end
    abort("#{label} did not fail")
  end
end

class Pages < Sinatra::Base
  set :show_exceptions, false
  set :raise_errors, true
  set :host_authorization, permitted_hosts: [] if respond_to?(:host_authorization)

  get("/price/:sku") { Shop.unit_price(params[:sku]).to_s }
  get("/orders/:id") { Shop.ship(params[:id].to_i, {}) }
  get("/report") { env["shop.account"].owner.name }
  post("/answers") { Shop.read_answer(request.body.read).to_s }
end

def asked(label, verb, path, body = nil)
  app = Sentry::Rack::CaptureExceptions.new(
    lambda do |env|
      Sentry.get_current_scope.set_tags(corpus: label)
      Pages.new.call(env)
    end
  )
  Rack::MockRequest.new(app).request(verb, path, input: body)
rescue StandardError
  nil
end

def nested(levels)
  node = { id: N }
  levels.times { |level| node = { name: "n#{level}", children: [{ name: "ok" }, node] } }
  node
end

store = { 1 => Shop::Order.new(1, {}, []), 2 => Shop::Order.new(2, {}, []) }
sku = "gadget-#{SecureRandom.hex(4)}"
caught("rb-price-missing") { Shop.unit_price(sku) }
caught("rb-price-missing") { Shop.cart_total([["mug", 1], [sku, N]]) }
asked("rb-price-missing", "GET", "/price/#{sku}")
caught("rb-no-city") { Shop.ship(1 + N % 2, store) }
caught("rb-no-city") { Shop.labels([store[2]]) }
caught("rb-no-city") { Thread.new { Thread.current.report_on_exception = false; Shop.label_of(store[1]) }.join }
caught("rb-order-unknown") { Shop.ship(900 + N, store) }
caught("rb-order-unknown") { Shop.load_order(50 + N, {}) }
asked("rb-order-unknown", "GET", "/orders/#{700 + N}")
caught("rb-average") { Shop.average([]) }
caught("rb-average") { [[]].each { |one| Shop.average(one) } }
caught("rb-pay") { Shop.pay(3000 + N, 9) }
caught("rb-pay") { [4000 + N].each { |order| Shop.pay(order, 9) } }
caught("rb-refund") { Shop.refund(5000 + N, {}) }
caught("rb-answer-json") { Shop.read_answer("<html>#{N}") }
caught("rb-answer-json") { Shop.read_answer("{" + " " * N + "oops") }
asked("rb-answer-json", "POST", "/answers", "[#{N},")
caught("rb-answer-key") { Shop.read_answer("{\"n\": #{N}}") }
asked("rb-answer-key", "POST", "/answers", "{\"total\": #{N}}")
caught("rb-birthday") { Shop.birthday("#{N}.12.19#{60 + N}") }
caught("rb-birthday") { [nil].each { Shop.birthday("19#{70 + N}/01/02") } }
caught("rb-quantity") { Shop.quantity("#{N} pieces") }
caught("rb-quantity") { Shop.quantity("x" * N) }
loop_node = {}
loop_node[:child] = loop_node
caught("rb-recursion") { Shop.depth(loop_node) }
caught("rb-nameless") { Shop.check(nested(1 + 2 * N), "") }
caught("rb-cheapest") { Shop.cheapest([{ price: 3 }, { price: nil }] * (N + 1)) }
caught("rb-guard-weight") { Shop.set_weight(-N) }
caught("rb-guard-quantity") { Shop.set_quantity(100 + N) }
caught("rb-guard-street") { Shop.need_street({ n: N }) }
caught("rb-guard-city") { Shop.need_city({ n: N }) }
asked("rb-report", "GET", "/report?round=#{N}")
[
  ["rb-msg-slow", "query took #{N * 317 + 1000} ms"],
  ["rb-msg-lost", "lost connection to 127.0.0.1:#{7000 + N}"],
  ["rb-msg-session", "session #{SecureRandom.uuid} expired"]
].each do |label, text|
  Sentry.with_scope do |scope|
    scope.set_tags(corpus: label)
    Sentry.capture_message(text)
  end
end
