# Prices, orders and what goes wrong with them.
require "json"
require "date"
require "socket"
require_relative "guard"

module Shop
  PRICES = { "mug" => { net: 7 }, "shirt" => { net: 19 } }.freeze

  class NotFound < StandardError; end
  class PaymentFailed < StandardError; end

  Order = Struct.new(:id, :address, :lines)

  def self.unit_price(sku)
    found = PRICES[sku]
    found[:net]
  end

  def self.cart_total(lines)
    lines.sum { |sku, quantity| unit_price(sku) * quantity }
  end

  def self.labels(orders)
    orders.map do |order|
      label_of(order)
    end
  end

  def self.label_of(order)
    order.address.fetch(:city).upcase
  end

  def self.load_order(id, store)
    store.fetch(id) { raise NotFound, "order #{id} does not exist" }
  end

  def self.ship(id, store)
    label_of(load_order(id, store))
  end

  def self.average(ratings)
    ratings.sum / ratings.size
  end

  def self.dial(port)
    TCPSocket.new("127.0.0.1", port)
  end

  def self.pay(order, port)
    dial(port)
  rescue SystemCallError
    raise PaymentFailed, "order #{order} was not paid"
  end

  def self.refund(order, answer)
    answer.fetch("id")
  rescue KeyError => error
    raise PaymentFailed, "order #{order} was not refunded: #{error.message}"
  end

  def self.read_answer(text)
    JSON.parse(text).fetch("id")
  end

  def self.birthday(text)
    Date.strptime(text, "%Y-%m-%d")
  end

  def self.quantity(text)
    Integer(text)
  end

  def self.depth(node)
    1 + depth(node[:child])
  end

  def self.check(node, path)
    raise ArgumentError, "node #{path} has no name" unless node[:name]

    (node[:children] || []).each_with_index { |child, at| check(child, "#{path}/#{at}") }
  end

  def self.cheapest(list)
    list.sort_by { |one| one[:price] }
  end

  def self.set_weight(kilos)
    Guard.require!(kilos.positive?, "a weight must be positive")
    kilos
  end

  def self.set_quantity(many)
    Guard.require!(many < 100, "at most 99 pieces")
    many
  end

  def self.need_street(form)
    Guard.must(form[:street], "street")
  end

  def self.need_city(form)
    Guard.must(form[:city], "city")
  end
end
