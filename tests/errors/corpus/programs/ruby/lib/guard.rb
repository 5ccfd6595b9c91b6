# What must hold.
module Guard
  class Broken < StandardError; end

  def self.require!(holds, message)
    raise Broken, message unless holds
  end

  def self.must(value, name)
    require!(!value.nil?, "#{name} is missing")
    value
  end
end
